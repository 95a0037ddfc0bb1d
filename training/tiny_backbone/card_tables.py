"""What the exam and the runs measured, as the rows of the model card of `tiny`."""
# ruff: noqa: E501 (line breaks are the card's)

from __future__ import annotations

from typing import Any

TARGETS = {"scene": 0.95, "color": 0.95, "shape": 0.85, "direction": 0.85}
JUDGE = "tiny"  # the tracker whose verdict counts


def percent(cell: dict[str, Any] | None) -> str:
    """A share with its interval and n, such as `91.0% (86.2–94.2, n = 200)`."""
    if not cell or cell["share"] is None:
        return "–"
    return f"{100 * cell['share']:.1f}% ({100 * cell['low']:.0f}–{100 * cell['high']:.0f}, n = {cell['n']})"


def _content_rows(exam: dict[str, Any]) -> list[str]:
    names = {"all": "all clips", "one": "one subject", "several": "two to four subjects"}
    rows = [
        "| right in … of clips | what | generated | rendered (the judge's ceiling) | target |",
        "|---|---|---|---|---|",
    ]
    for group, title in names.items():
        for what in ("scene", "color", "shape"):
            cells = [percent(exam[side]["content"].get(group, {}).get(what)) for side in ("generated", "rendered")]
            target = f"{100 * TARGETS[what]:.0f}%" if group == "all" else ""
            rows.append(f"| {title} | {what} | {cells[0]} | {cells[1]} | {target} |")
    for kind in exam["generated"]["content"]["subjects"]:
        cells = [percent(exam[side]["content"]["subjects"].get(kind)) for side in ("generated", "rendered")]
        rows.append(f"| each subject | shape: {kind} | {cells[0]} | {cells[1]} | |")
    return rows


def _direction_rows(exam: dict[str, Any]) -> list[str]:
    trackers = list(exam["generated"]["motion"])
    heads = [f"{side}, `{t}`" for side in ("generated", "rendered") for t in trackers]
    rows = ["| named direction | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    tables = [exam[side]["motion"][t]["directions"] for side in ("generated", "rendered") for t in trackers]
    rows.append("| all of a clip's | " + " | ".join(percent(t.get("clips")) for t in tables) + " |")
    kinds = sorted({kind for t in tables for kind in t["kinds"]})
    return rows + [f"| {kind} | " + " | ".join(percent(t["kinds"].get(kind)) for t in tables) + " |" for kind in kinds]


def _open_rows(exam: dict[str, Any]) -> list[str]:
    rows = ["| captions | clips | tracker | clips that move | mean cosine between headings |", "|---|---|---|---|---|"]
    for side in ("generated", "rendered"):
        for tracker, found in exam[side]["motion"].items():
            for group, cell in found["open"].items():
                cosine = "–" if cell["mean_cosine"] is None else f"{cell['mean_cosine']:+.2f}"
                rows.append(f"| {group} | {side} | `{tracker}` | {percent(cell)} | {cosine} |")
    return rows


def verdict(exam: dict[str, Any]) -> list[str]:
    """One line a target: reached, or missed by how much."""
    measured = {w: exam["generated"]["content"]["all"][w] for w in ("scene", "color", "shape")}
    motion = exam["generated"]["motion"]
    measured["direction"] = motion[JUDGE if JUDGE in motion else next(iter(motion))]["directions"]["clips"]
    lines = []
    for what, cell in measured.items():
        gap = 100 * (cell["share"] - TARGETS[what])
        said = "reached" if gap >= 0 else f"**missed by {-gap:.1f} points**"
        lines.append(f"- {what}: {percent(cell)}, target {100 * TARGETS[what]:.0f}%: {said}{_doubt(what, exam)}")
    return lines


def _doubt(what: str, exam: dict[str, Any]) -> str:
    """A remark where the judge itself stays below the target on rendered clips, so that it cannot show it reached."""
    ceiling = exam["rendered"]["content"]["all"].get(what)
    if ceiling is None or ceiling["share"] >= TARGETS[what]:
        return ""
    return (
        f" (the judge calls only {percent(ceiling)} of the renderer's own clips right, so it cannot settle this target)"
    )


def run_rows(training: dict[str, Any]) -> list[str]:
    rows = [
        "| run | GPUs | clips a step | steps | clips | each rendered clip used | minutes | of them with falling rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for i, run in enumerate(training["runs"], 1):
        fall = run.get("decay_minutes", "–")
        rows.append(
            f"| {i} | {run['gpus']} × {run.get('device', training['device'])}{run.get('remark', '')} | {run['batch']} | {run['steps']:,} | {run['clips']:,} | {run.get('reuse', 1)}× | {run['minutes']} | {fall} |"
        )
    return rows


def render_measured(exam: dict[str, Any]) -> str:
    """What the exam found, as Markdown."""
    block = "\n".join
    return f"""{exam["prompts"]} held-out prompts (world seed {exam["seed"]}), one clip each, {exam["steps"]} steps, guidance {exam["guidance"]}. Shares with 95% Wilson intervals.

{block(verdict(exam))}

**Content**, by a probe trained on {exam["probe"]["decoded_clips"]} clips decoded by this VAE and {exam["probe"]["blurred_clips"]} blurred ones ({exam["probe"]["steps"]} steps). A clip counts only if *every*
named subject is right: colors are right if the named ones cover most of what is not scene; shapes if each named color's region is of
the named kind. The same judge on {exam["rendered"]["clips"]} of the renderer's own clips of these prompts, through the VAE, is its ceiling: part of
what it calls wrong is its own error.

{block(_content_rows(exam))}

**Named direction**, by point tracks: within 45° for objects, figures, pans, tilts and orbits (the scene moves against the
camera), the right sign for zooms and rolls.

{block(_direction_rows(exam))}

**Left open**: captions that name no motion (`silent`) or say only "moving". A mean cosine near 0 means that the clips go
all ways.

{block(_open_rows(exam))}"""
