"""What follows from Wan measurements: seconds of a whole job, what was asked of it, and whether it holds."""

from __future__ import annotations

from typing import Any

Lines = dict[tuple[str, str], dict[str, Any]]
Check = tuple[str, str, bool]  # what was asked, what came, and whether it holds
# The paper's schedule (one 80 GB GPU, 1.3B, 81 frames of 480x832).
SPATIAL_SAMPLES, TEMPORAL_STEPS, SAMPLE_STEPS = 3000, 2000, 50
PIECES = 7  # of a whole job


def dense_seconds(lines: Lines, kernels: str = ", quick attention") -> float | None:
    """Tuning by the dense two-stage LoRA at the paper's samples, batch 1, everything recomputed; None if not measured.

    kernels: "" is torch's own choice of attention.
    """
    clip, frame = (lines.get(("steps", f"dense two-stage, {kind}{kernels}")) for kind in ("clip", "frame"))
    if clip is None or frame is None:
        return None
    return float(SPATIAL_SAMPLES * frame["seconds"] + TEMPORAL_STEPS * clip["seconds"])


def optimized(lines: Lines, part: str = "steps") -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The lines of both stages as the preset `paper` takes them: single frames, and sparse clips."""
    spatial, temporal = (lines.get((part, f"{name}, optimized")) for name in ("spatial, batch 1", "temporal"))
    return None if spatial is None or temporal is None else (spatial, temporal)


def compiling(pair: tuple[dict[str, Any], dict[str, Any]]) -> float:
    """Seconds that the first steps took beyond a step's own."""
    return float(sum(line["first_seconds"] - line["seconds"] for line in pair))


def tuning_seconds(lines: Lines) -> dict[str, float] | None:
    """Both stages at the paper's samples by the optimized steps, and compiling them."""
    pair = optimized(lines)
    if pair is None:
        return None
    spatial, temporal = pair
    return {
        "spatial stage": SPATIAL_SAMPLES / spatial["batch"] * spatial["seconds"],
        "temporal stage": TEMPORAL_STEPS * temporal["seconds"],
        "compiling both": compiling(pair),
    }


def saved_later(lines: Lines) -> float | None:
    """Seconds of compiling that a later job does not spend, since they are kept; None if not measured."""
    first, again = optimized(lines), optimized(lines, "later")
    return None if first is None or again is None else compiling(first) - compiling(again)


def all_checks(lines: Lines, pieces: dict[str, float]) -> list[Check]:
    """What has to hold, what came, and whether it holds; only of what was measured."""
    return [*tuning_checks(lines, pieces), *job_checks(lines, pieces), *other_checks(lines)]


def tuning_checks(lines: Lines, pieces: dict[str, float]) -> list[Check]:
    """Of the two stages."""
    rate, dense = lines["machine", "machine"]["matmul_tflops"], dense_seconds(lines)
    rows: list[Check] = []
    ours = pieces["spatial stage"] + pieces["temporal stage"]
    if dense:
        wanted = "tuning at batch 1 at least 16 times as fast as dense two-stage LoRA with as quick attention"
        rows.append((wanted, f"{dense / ours:.1f} times", dense >= 16 * ours))
    share = lines["steps", "temporal, optimized"]["useful_tflops"] / rate
    rows.append(("temporal stage at least 64% of the matrix rate", f"{share:.0%}", share >= 0.64))
    return rows


def job_checks(lines: Lines, pieces: dict[str, float]) -> list[Check]:
    """Of the whole job, if all of its pieces were measured."""
    total, saved = sum(pieces.values()), saved_later(lines)
    rows: list[Check] = []
    if len(pieces) == PIECES:
        rows.append(("the whole job at most 510 s", f"{total:.0f} s, compiling included", total <= 510))
    if len(pieces) == PIECES and saved is not None:
        rows.append(("... a later one at most 480 s", f"{total - saved:.0f} s", total - saved <= 480))
    if "generating one clip" in pieces:
        clip = pieces["generating one clip"]
        rows.append(("a clip of 50 steps at most 54 s", f"{clip:.1f} s", clip <= 54))
    return rows


def other_checks(lines: Lines) -> list[Check]:
    """Of head classification and of 14B."""
    rows: list[Check] = []
    classified, large = lines.get(("heads", "1.3B")), lines.get(("large", "14B temporal, optimized, 60 GB"))
    if classified:
        rows.append(("classifying all heads at most 7 s", f"{classified['seconds']:.1f} s", classified["seconds"] <= 7))
        if classified["extra_bytes"] is not None:
            extra = classified["extra_bytes"]
            rows.append(("... and at most 4 GB above the model", f"{extra / 1e9:.2f} GB", extra <= 4e9))
    if large and large.get("seconds"):
        seconds, peak = large["seconds"], large["peak_bytes"] or 0
        wanted = "14B: a temporal step at most 1.25 s within 60 GB"
        rows.append((wanted, f"{seconds:.2f} s, {peak / 1e9:.1f} GB", seconds <= 1.25 and peak <= 60e9))
    return rows


BASELINE_COLUMNS = ("method", "fit, plain, s", "clip, plain, s", "fit, s", "clip, s", "times as fast")


def baseline_rows(lines: Lines) -> list[list[str]]:
    """Fit and clip of each baseline, plain and optimized, and how much faster both together are."""
    rows = []
    for name in dict.fromkeys(key.partition(",")[0] for part, key in lines if part == "baselines"):
        plain, quick = (lines.get(("baselines", f"{name}, {way}")) for way in ("plain", "optimized"))
        times = ""
        if plain and quick and "error" not in plain and "error" not in quick:
            slow, fast = (line["fit_seconds"] + line["clip_seconds"] for line in (plain, quick))
            times = f"{slow / fast:.2f}"
        rows.append([name, *baseline_cells(plain), *baseline_cells(quick), times])
    return rows


def baseline_cells(line: dict[str, Any] | None) -> list[str]:
    """Fit and clip in seconds, or why there are none."""
    if line is None:
        return ["not measured", ""]
    if "error" in line:
        return [line["error"], ""]
    return [f"{line['fit_seconds']:.0f}", f"{line['clip_seconds']:.0f}"]
