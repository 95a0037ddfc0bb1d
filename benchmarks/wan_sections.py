"""Sections of the page of Wan measurements on float8, and on where the time goes."""

from __future__ import annotations

from wan_checks import Lines
from wan_tables import STEP_COLUMNS, step_rows

from motionbench.marked_page import table


def float8_section(lines: Lines) -> str:
    """Frozen weights in float8: what they save, and what they cost in accuracy."""
    rows = step_rows(lines, "float8")
    if not rows:
        return ""
    text = (
        "## Frozen weights in float8, 1.3B\n\n`frozen_weights=float8`: products of 12 million weights or more, going "
        "forward; gradients go through the weights as they are.\n\n" + table(STEP_COLUMNS, rows)
    )
    slopes, run = lines.get(("rounding", "gradients")), lines.get(("rounding", "losses"))
    if slopes:
        kinds = {"bfloat16": slopes["unchanged"], "float8": slopes["float8"]}
        cells = [[kind, f"{1 - of['cosine']:.2g}", f"{of['norm'] - 1:+.2%}"] for kind, of in kinds.items()]
        text += (
            f"\n\nGradients of a LoRA as large as a trained one against float32, worst of {slopes['draws']} draws:\n\n"
            + table(("weights", "1 - cosine", "norm"), cells)
        )
    if run:
        kinds = {"float8": run["float8"], "bfloat16, other kernels": run["other kernels"]}
        cells = [[kind, f"{100 * of['distance']:.2g}%", f"{100 * of['end']:+.2g}%"] for kind, of in kinds.items()]
        text += f"\n\nLosses of {run['steps']} steps on the same draws, apart from those in bfloat16:\n\n" + table(
            ("run", "mean over steps", "last quarter"), cells
        )
    return text


def without_section(lines: Lines) -> str:
    """The temporal step without each of what makes its passes over memory few."""
    rows = [*step_rows(lines, "steps", only="temporal, optimized"), *step_rows(lines, "without")]
    if len(rows) < 2:
        return ""
    return (
        "## Passes over memory in the temporal step, 1.3B\n\nThe step, and the same with one thing changed.\n\n"
        + table(STEP_COLUMNS, rows)
    )


def profile_section(lines: Lines) -> str:
    """Where the seconds of profiled steps go."""
    seen = {
        f"{name}, float8" if part == "float8" else name: line["profile"]["kinds"]
        for (part, name), line in lines.items()
        if line.get("profile")
    }
    kinds = sorted({kind for own in seen.values() for kind in own})
    if not kinds:
        return ""
    rows = [
        [name, *(f"{1e3 * own.get(kind, 0.0):.1f}" for kind in kinds), f"{1e3 * sum(own.values()):.1f}"]
        for name, own in seen.items()
    ]
    return "## Where a step's time goes\n\nMilliseconds of the device's kernels in one step.\n\n" + table(
        ("step", *kinds, "sum"), rows
    )
