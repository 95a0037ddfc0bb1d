"""What follows from Wan measurements: seconds of a whole job, what was asked of it, and whether it holds."""

from __future__ import annotations

from typing import Any

Lines = dict[tuple[str, str], dict[str, Any]]
Check = tuple[str, str, bool]  # what was asked, what came, and whether it holds
# The paper's schedule (one 80 GB GPU, 1.3B, 81 frames of 480x832).
SPATIAL_SAMPLES, TEMPORAL_STEPS, SAMPLE_STEPS = 3000, 2000, 50
PIECES = 7  # of a whole job


def tuning_ratio(lines: Lines) -> float | None:
    """How many times as fast as the dense two-stage LoRA both stages are; None if one was not measured.

    Of the dense one: batch 1, everything recomputed, attention as quick. Calls on another machine are made comparable
    by the rate of a matrix product in each.
    """
    pair = optimized(lines)
    dense = [lines.get(("steps", f"dense two-stage, {kind}, quick attention")) for kind in ("frame", "clip")]
    if pair is None or not all(dense):
        return None
    samples = (SPATIAL_SAMPLES, TEMPORAL_STEPS)
    ours, theirs = (
        sum(n * line["seconds"] * line["matmul_tflops"] for n, line in zip(samples, found, strict=True) if line)
        for found in (pair, dense)
    )
    return float(theirs / ours)


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


def compiling_sampling(line: dict[str, Any]) -> float:
    """Seconds that the first clip of one step took beyond the next one."""
    return float(line["one_step_seconds"] - line["one_step_again_seconds"])


def saved_later(lines: Lines) -> float | None:
    """Seconds of compiling that a later job does not spend, since they are kept; None if not measured."""
    first, again = optimized(lines), optimized(lines, "later")
    if first is None or again is None:
        return None
    saved = compiling(first) - compiling(again)
    cold, kept = lines.get(("job", "short schedule")), lines.get(("later", "sampling"))
    return saved if cold is None or kept is None else saved + compiling_sampling(cold) - compiling_sampling(kept)


def all_checks(lines: Lines, pieces: dict[str, float]) -> list[Check]:
    """What has to hold, what came, and whether it holds; only of what was measured."""
    return [
        *tuning_checks(lines),
        *job_checks(lines, pieces),
        *float8_checks(lines, pieces),
        *other_checks(lines),
    ]


def tuning_checks(lines: Lines) -> list[Check]:
    """Of the two stages."""
    rows: list[Check] = []
    ratio, temporal = tuning_ratio(lines), lines["steps", "temporal, optimized"]
    if ratio is not None:
        wanted = "tuning at batch 1 at least 16 times as fast as dense two-stage LoRA with as quick attention"
        rows.append((wanted, f"{ratio:.1f} times", ratio >= 16))
    share = temporal["useful_tflops"] / temporal["matmul_tflops"]
    rows.append(("temporal stage at least 64% of the matrix rate", f"{share:.1%}", share >= 0.64))
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


def float8_saves(lines: Lines) -> float | None:
    """Seconds that both stages take less with frozen weights in float8; None if not measured."""
    plain, rounded = optimized(lines), optimized(lines, "float8")
    if plain is None or rounded is None:
        return None
    pairs = zip((SPATIAL_SAMPLES, TEMPORAL_STEPS), plain, rounded, strict=True)
    return float(sum(steps * (own["seconds"] - line["seconds"]) for steps, own, line in pairs))


def float8_checks(lines: Lines, pieces: dict[str, float]) -> list[Check]:
    """Of frozen weights in float8: the whole job, and what gradients and losses lose."""
    rows: list[Check] = []
    saved = float8_saves(lines)
    if len(pieces) == PIECES and saved is not None:
        total = sum(pieces.values()) - saved - (saved_later(lines) or 0.0)
        rows.append(("a later whole job with float8 at most 440 s", f"{total:.0f} s", total <= 440))
    slopes, run = lines.get(("rounding", "gradients")), lines.get(("rounding", "losses"))
    if slopes:
        cosine, norm = slopes["float8"]["cosine"], slopes["float8"]["norm"]
        wanted = "float8: LoRA gradients at a cosine of 0.99 or more with float32's, norms within 5%"
        rows.append((wanted, f"{cosine:.4f}, {norm - 1:+.1%}", cosine >= 0.99 and abs(norm - 1) <= 0.05))
    if run:
        end, apart = run["float8"]["end"], run["float8"]["distance"]
        wanted = "float8: the last losses of 200 steps within 1% of bfloat16's"
        rows.append((wanted, f"{100 * end:+.2g}% (step by step {100 * apart:.2g}%)", abs(end) <= 0.01))
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
        rows.append((wanted, f"{seconds:.3f} s, {peak / 1e9:.1f} GB", seconds <= 1.25 and peak <= 60e9))
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
