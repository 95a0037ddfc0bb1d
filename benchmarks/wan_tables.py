"""Markdown tables of Wan measurements."""

from __future__ import annotations

from typing import Any

from wan_checks import Lines


def share_of_matmul(line: dict[str, Any]) -> float:
    """Useful operations of a step over the rate of a matrix product in the same call."""
    return float(line["useful_tflops"] / line["matmul_tflops"])


def step_rows(lines: Lines, part: str, only: str | None = None) -> list[list[str]]:
    """One row for each step of a part, or for one of them only, in the order of measuring."""
    rows = []
    for (found, name), line in lines.items():
        if found != part or (only is not None and name != only):
            continue
        if "error" in line:
            rows.append([name, line["error"], "", "", "", gigabytes(line["peak_bytes"]), "", ""])
            continue
        share = f"{line['useful_tflops']:.3g} ({share_of_matmul(line):.0%})"
        per_sample, tokens = line["seconds"] / line["batch"], line["tokens_per_second"]
        facts = [f"{line['seconds']:.4g}", f"{per_sample:.4g}", f"{tokens:.3g}", share, gigabytes(line["peak_bytes"])]
        rows.append([name, *facts, str(line["blocks_recomputed"]), f"{line['first_seconds']:.3g}"])
    return rows


STEP_COLUMNS = (
    "step", "s", "s a sample", "tokens/s", "useful TFLOP/s (share of matmul)", "peak GB", "recomputed", "first step, s",
)  # fmt: skip


def gigabytes(peak: float | None) -> str:
    """Bytes as GB; nothing on a CPU, where torch does not tell."""
    return "" if peak is None else f"{peak / 1e9:.1f}"
