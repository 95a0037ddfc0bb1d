"""The model card of the `tiny` tracker, written from metrics.json so that no number in it is typed by hand."""
# ruff: noqa: E501 (line breaks are the card's)

from __future__ import annotations

from typing import Any

_COLUMNS = (
    ("position", "mean within 1-16 px"),
    *((f"within_{k}", f"{k} px") for k in (1, 2, 4, 8, 16)),
    ("position_on_objects", "mean, on objects"),
    ("visibility", "visibility"),
    ("false_moving", "still, called moving"),
    ("missed_moving", "moving, called still"),
)


def _rows(table: dict[str, Any]) -> str:
    lines = [
        "| frames | tracker | " + " | ".join(title for _, title in _COLUMNS) + " |",
        "|---" * (len(_COLUMNS) + 2) + "|",
    ]
    for kind, trackers in table.items():
        for name, values in trackers.items():
            cells = [f"{100 * values[key]:.1f}%" if key in values else "-" for key, _ in _COLUMNS]
            lines.append(f"| {kind} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def render_card(metrics: dict[str, Any]) -> str:
    """The card (Markdown with the Hub's front matter) for a metrics.json as `evaluate_folder` writes it."""
    training = metrics.get("training", {})
    decoder = {"vae": "decoded by the embedded backbone's VAE", "blur": "softened by a stand-in for the VAE"}[
        metrics["decoder"]
    ]
    loss = ", ".join(f"{value} at step {step}" for step, value in training.get("loss", [])) or "not recorded"
    static = metrics["table"]["decoded"]["tiny"].get("static_clips", 0)
    about = {"steps": "?", "batch": "?", "points": "?", "training_seconds": "?", "device": "?", "seed": "?"} | training
    size = f"{metrics['bytes'] / 1e6:.2f} MB"
    seconds, on_two = metrics["cpu_seconds_per_clip"], metrics["seconds_per_clip_on_two_cores"]
    return f"""---
license: apache-2.0
tags: [point-tracking]
---
# tiny: a small point tracker for the embedded world

A TAPIR-like network: frame-wise features, one cost volume per point and frame, and rounds of local refinement over
time, with a visibility answer. It was trained from random weights on procedurally rendered clips with exact tracks; no
other data and no other model's weights are in it. {metrics["parameters"]:,} parameters, {size} in fp16.
Loaded by `motionbench.metrics.trackers.tiny:TinyTracker` (tracker name `tiny`, version {metrics["version"]}).

## Measured

{metrics["clips"]} held-out clips (seeds never used in training), up to {metrics["queries"]} points each, one in every cell of a full-frame
grid; distances in pixels of a 256x256 frame, means over clips, first frame left out. `decoded`: {decoder}.
*Still, called moving*: of background points that do not move ({static} clips have them), those whose range exceeds 1% of
the diagonal; *moving, called still*: the reverse.

{_rows(metrics["table"])}

Time: {seconds} CPU seconds a clip of {metrics["queries"]} points in one thread, {on_two} s by the clock on two idle cores; the
digits are the same on any number of cores.

## Training

{about["steps"]} steps of {about["batch"]} clips with {about["points"]} tracks in {about["training_seconds"]} s on {about["device"]}, seed {about["seed"]}.
Clips rendered, decoded (with noise on the latents), blurred, flickering, noisy; played both ways; mirrored; colors
exchanged. Loss: {loss}.
Command: `python -m training.tiny_tracker.train --out DIR --vae FOLDER --minutes M`; this card:
`python -m training.tiny_tracker.evaluate --weights DIR/weights --vae FOLDER`.

## Limits

Made for 64x64 clips of the embedded world; larger clips are stretched to that size, so fine motion of real footage is
lost. It was trained on clips of one length; others are followed too, but were not measured.
"""
