"""The page of Wan measurements: tables of what was measured, what follows from it, and plots.

They stand between two marks; what somebody has written before or after them stays when the page is made anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wan_checks import (
    BASELINE_COLUMNS,
    SAMPLE_STEPS,
    SPATIAL_SAMPLES,
    TEMPORAL_STEPS,
    Lines,
    all_checks,
    baseline_rows,
    compiling_sampling,
    saved_later,
    tuning_seconds,
)
from wan_plot import draw_bars, draw_curve
from wan_sections import float8_section, profile_section, without_section
from wan_tables import STEP_COLUMNS, share_of_matmul, step_rows

from motionbench.marked_page import BEGIN, END, put_between, table

EMPTY = f"# Speed and memory of Wan2.1\n\n{BEGIN}\n{END}\n"
SINGLE_FRAMES = 81  # that a fit encodes one by one


def read_lines(path: Path) -> Lines:
    """The last line of each measurement, by part and name."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return {(line["part"], line["name"]): line for line in lines}


def write_page(source: Path, page: Path) -> list[Path]:
    """Writes the page and its plots; returns their paths. Raises ValueError if there is no machine in the file."""
    lines = read_lines(source)
    if ("machine", "machine") not in lines:
        raise ValueError(f"{source} has no line of the machine: measure with benchmarks/wan.py first")
    page.parent.mkdir(parents=True, exist_ok=True)
    written = [page]
    sections = [head(lines), steps_section(lines), schedule_section(lines), heads_section(lines), large_section(lines)]
    sections += [without_section(lines), float8_section(lines), baselines_section(lines)]
    sections += [scaling_section(lines), profile_section(lines)]
    for name, drawn in plots(lines).items():
        path = page.with_name(f"{page.stem}-{name}.svg")
        path.write_text(drawn, "utf-8")
        sections.append(f"![{name}]({path.name})\n")
        written.append(path)
    put_between(page, "\n\n".join(section.strip() for section in sections if section), empty=EMPTY)
    return written


def head(lines: Lines) -> str:
    """Machine, versions, and how it was measured."""
    machine = lines["machine", "machine"]
    versions = {
        k: v for k, v in machine["versions"].items() if k in ("torch", "diffusers", "transformers", "motionbench")
    }
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    chosen = {line["chosen"]["attention"] for line in lines.values() if "attention" in line.get("chosen", {})}
    kernels = f" Attention, where it is optimized: {', '.join(sorted(chosen))}." if chosen else ""
    toy = "**Smoke run at toy size on a CPU: it shows that the measurement runs, and is no result.**\n\n"
    size, rate = machine["matmul_size"], f"{machine['matmul_tflops']:.3g}"
    return (
        (toy if machine["smoke"] else "")
        + f"Machine: {machine['device']}; Python {machine['python']}, {told}. A matrix product of {size} x {size} ran "
        f"at {rate} TFLOP/s; shares are of the rate in a step's own call. Weights are random in the real shapes: "
        f"speed and memory do not depend on them.{kernels}\n\n"
        "Commands: `python benchmarks/wan.py measure --out DIR`, then `python benchmarks/wan.py render DIR/wan.jsonl "
        "--page docs/results/speed.md`. Medians of several steps after a warm-up; the clock waits for the device. "
        "Useful operations: the forward pass and the gradients of activations and LoRAs (rank 128 on q, k, v, o; that "
        "of attention is 2.5 times its forward pass); frozen weights need none, and recomputation is not counted.\n"
    )


def steps_section(lines: Lines) -> str:
    """Training steps on 1.3B."""
    rows = step_rows(lines, "steps")
    return "## Training steps, 1.3B\n\n" + table(STEP_COLUMNS, rows) if rows else ""


def large_section(lines: Lines) -> str:
    """Training steps on 14B."""
    rows = step_rows(lines, "large")
    return "## Training steps, 14B\n\n" + table(STEP_COLUMNS, rows) if rows else ""


def schedule_section(lines: Lines) -> str:
    """The paper's schedule, as the measured pieces add up, and what must hold for it."""
    tuning = tuning_seconds(lines)
    if tuning is None:
        return ""
    pieces = dict(tuning)
    classified, short, vae = lines.get(("heads", "1.3B")), job_line(lines), lines.get(("job", "encode"))
    if classified:
        pieces = {"classifying heads": classified["seconds"]} | pieces
    if vae:
        pieces["encoding"] = vae["dense_seconds"] + vae["sparse_seconds"] + SINGLE_FRAMES * vae["frame_seconds"]
    if short:
        pieces["generating one clip"] = short["generate_seconds"]
        pieces["compiling sampling"] = compiling_sampling(short)
    rows = [[name, f"{seconds:.1f}"] for name, seconds in pieces.items()]
    rows.append(["**sum**", f"**{sum(pieces.values()):.1f}**"])
    text = (
        f"## The paper's schedule on 1.3B\n\n{SPATIAL_SAMPLES} single frames, {TEMPORAL_STEPS} sparse clips, one clip "
        f"of {SAMPLE_STEPS} steps with guidance: seconds that the measured pieces add up to.\n\n"
        + table(("piece", "s"), rows)
    )
    saved = saved_later(lines)
    if saved is not None:
        text += f"\n\nA later job finds what the first one compiled, and takes {saved:.1f} s less."
    whole = lines.get(("job", "whole schedule"))
    if whole:
        text += (
            f"\n\nThe whole job, run as one: fit {whole['fit_seconds']:.0f} s, clip {whole['generate_seconds']:.0f} s."
        )
    rows = [[wanted, found, "yes" if holds else "**no**"] for wanted, found, holds in all_checks(lines, pieces)]
    return text + "\n\n" + table(("wanted", "measured", "holds"), rows)


def job_line(lines: Lines) -> dict[str, Any] | None:
    """The run of the method itself, the whole one if there is one."""
    return lines.get(("job", "whole schedule")) or lines.get(("job", "short schedule"))


def baselines_section(lines: Lines) -> str:
    """Fit and clip of each baseline."""
    rows = baseline_rows(lines)
    if not rows:
        return ""
    return (
        "## Baselines, 1.3B\n\nSeconds of a fit and of a clip of 81 frames by the preset that a method has for Wan, as "
        "timed steps add up; encoding and decoding are the same for all and left out. Plain: torch's own choice of "
        "attention, nothing compiled, every block recomputed. Both within the memory of a card of 80 GB.\n\n"
        + table(BASELINE_COLUMNS, rows)
    )


def heads_section(lines: Lines) -> str:
    """Head classification."""
    line = lines.get(("heads", "1.3B"))
    if line is None:
        return ""
    extra = "" if line["extra_bytes"] is None else f", {line['extra_bytes'] / 1e9:.2f} GB above the model at its peak"
    return (
        f"## Head classification, 1.3B\n\n{line['tokens']} tokens, {line['layers']} layers, {line['maps']} maps "
        f"a head: {line['seconds']:.1f} s{extra}.\n"
    )


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a straight line through log y over log x."""
    xs, ys = ([math.log(point[i]) for point in points] for i in (0, 1))
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread


def curve(lines: Lines) -> list[tuple[float, float]]:
    """(frames, seconds) of the scaling part, by frames."""
    return sorted(
        (line["frames"], line["seconds"])
        for (part, _), line in lines.items()
        if part == "scaling" and "seconds" in line
    )


def scaling_section(lines: Lines) -> str:
    """Seconds over frames, and how fast they grow."""
    points = curve(lines)
    if len(points) < 2:
        return ""
    rows = step_rows(lines, "scaling")
    told = []
    for title, low, high in (("frames of a dense clip", 17, 161), ("sampled frames", 5, 81)):
        within = [point for point in points if low <= point[0] <= high]
        if len(within) > 1:
            told.append(f"{title} {within[0][0]} to {within[-1][0]}: exponent {exponent(within):.2f}")
    return (
        "## Growth with the number of frames\n\nThe temporal step, uncompiled; a step on frames sampled from a longer "
        "clip costs what a step on a clip of so many frames costs. "
        + "; ".join(told)
        + ".\n\n"
        + table(STEP_COLUMNS, sorted(rows))
    )


def plots(lines: Lines) -> dict[str, str]:
    """Drawings by name: shares of the matrix rate, and seconds over frames."""
    bars = {
        name: share_of_matmul(line) for (part, name), line in lines.items() if part == "steps" and "seconds" in line
    }
    drawn = {"share": draw_bars(bars, "useful operations, share of the matrix rate")} if bars else {}
    points = curve(lines)
    return drawn | ({"frames": draw_curve(points, "frames", "seconds a step")} if len(points) > 1 else {})
