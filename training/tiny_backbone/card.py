"""Write the model card of `tiny` from what was measured: training.json and exam.json beside the weights.

Gather the facts of the runs once, then write README.md and loss.svg:
  python -m training.tiny_backbone.card gather FOLDER --runs run1/training.json run2/training.json --vae vae.json
  python -m training.tiny_backbone.card write FOLDER
"""
# ruff: noqa: E501 (line breaks are the card's)

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from .card_tables import render_measured, run_rows

POINTS = 40  # of the loss curve that are kept
NOT_MEASURED = "These weights have not taken the exam yet."


def gather(runs: list[Path], vae: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The facts of all runs as one JSON object: runs, loss by clips seen (thinned), and the VAE's.

    Each run's file holds the whole history so far. about: what the trainer does not record, such as the device.
    """
    facts = [json.loads(path.read_text("utf-8")) for path in runs]
    history = facts[-1]["history"]
    every = max(1, math.ceil(len(history) / POINTS))
    kept = [*history[:-1:every], history[-1]]
    made = json.loads(vae.read_text("utf-8"))
    return {
        **about,
        "runs": [{k: v for k, v in f.items() if k != "history"} | {"clips": f["steps"] * f["batch"]} for f in facts],
        "history": [{"clips": int(p["clips"]), "loss": round(p["loss"], 4)} for p in kept],
        "vae": {k: made[k] for k in ("psnr_db", "steps", "batch", "minutes")},
    }


def draw_loss(history: list[dict[str, float]]) -> str:
    """The loss curve as SVG: loss (logarithmic) over clips seen."""
    width, height, left, bottom = 640, 300, 60, 40
    most = max(p["clips"] for p in history)
    low, high = min(p["loss"] for p in history) * 0.95, max(p["loss"] for p in history) * 1.05

    def x(clips: float) -> float:
        return left + (width - left - 15) * clips / most

    def y(loss: float) -> float:
        return 15 + (height - bottom - 15) * (math.log(high) - math.log(loss)) / (math.log(high) - math.log(low))

    line = " ".join(f"{x(p['clips']):.1f},{y(p['loss']):.1f}" for p in history)
    marks = []
    for loss in (0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0):
        if low <= loss <= high:
            marks.append(f'<path d="M{left} {y(loss):.1f}H{width - 15}" stroke="#ddd"/>')
            marks.append(f'<text x="{left - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>')
    marks += [
        f'<text x="{x(clips):.1f}" y="{height - bottom + 18}" text-anchor="middle">{clips // 1000}k</text>'
        for clips in range(0, int(most) + 1, 200_000)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(marks)}'
        f'<text x="{(left + width) / 2}" y="{height - 6}" text-anchor="middle">clips seen</text>'
        f'<text x="14" y="{height / 2}" text-anchor="middle" transform="rotate(-90 14 {height / 2})">loss</text>'
        f'<polyline points="{line}" fill="none" stroke="#1f5fbf" stroke-width="2"/></svg>\n'
    )


def render_card(training: dict[str, Any], exam: dict[str, Any] | None, sizes: dict[str, int]) -> str:
    """The card (Markdown with the Hub's front matter). sizes: parameters of each part; exam None: not taken yet."""
    total, last = sum(r["clips"] for r in training["runs"]), training["runs"][-1]
    losses = [p["loss"] for p in training["history"]]
    ends = [min(training["history"], key=lambda p: abs(p["clips"] - seen))["loss"] for seen in _run_ends(training)]
    parts = ", ".join(f"{name} {count / 1e6:.2f}M" for name, count in sizes.items())
    vae = training["vae"]
    optimizer = (
        f"Muon ({last['muon_rate']}) for the matrices inside the blocks, AdamW ({last['rate']}) for the rest"
        if last["muon"]
        else f"AdamW ({last['rate']})"
    )
    block = "\n".join
    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-video
tags: [text-to-video, wan, motion-transfer, synthetic]
---
# tiny: a small Wan-type text-to-video model for the embedded world

The classes of Wan2.1 (`WanTransformer3DModel`, `AutoencoderKLWan`, `UMT5EncoderModel`) at a size that two CPU cores can
tune and sample: parameters {parts}. It lets the whole suite run without a download. It is no substitute for results on Wan: scores on `tiny`
compare with scores on `tiny` only.

## Data

Clips of 17 frames of 64x64 pixels at 8 frames per second, rendered as training goes by the procedural world of this
repository (`motionbench.data_cards.world`), with their captions: textured scenes; objects; articulated figures; cameras. No other data and no other
model's weights are in it. More than half of the clips move along random smooth paths that the caption does not name, so that
words alone do not fix the motion. Benchmark motions are of other families and seeds.

## Training

{block(run_rows(training))}

{total:,} clips in all{_shares(training)}. {optimizer}; bfloat16; rectified flow with logit-normal times; moving average of
the weights; captions dropped at random for guidance; some steps on single frames. Loss at the end of each run: {", ".join(str(e) for e in ends)}
(first noted: {losses[0]}). **Training stopped for lack of device time while the loss was still falling**: more of it is the plain way to a better model.

![loss over clips seen](loss.svg)

The VAE was trained frame by frame: {vae["steps"]:,} steps of {vae["batch"]} frames, {vae["minutes"]} minutes on one {training["device"]}; {vae["psnr_db"]:.2f} dB on held-out frames. It treats
each frame alone (no compression in time, 4x in space).
Commands: `python -m training.tiny_backbone.train_vae`, `… train`.

## Measured

{render_measured(exam) if exam else NOT_MEASURED}

This card: `python -m training.tiny_backbone.exam --out DIR`, then `python -m training.tiny_backbone.card write FOLDER`.

## Limits

- It knows the words of its tokenizer and the pictures of the embedded world, nothing else; one size, one length.
- Outlines are soft, and angular shapes suffer most: stars, hearts and triangles often come out as blobs of the right
  color, whose outline also changes along the clip. Rings, squares and figures hold best.
- Two to four objects are often small, run into one another, or merge where they cross; one may be missing or
  change its size or its shape along the clip.
- Limbs of figures smear in fast motion, and detached bits of limb show up; a shoe or hand may flicker.
- Textures of subjects are redrawn from frame to frame rather than carried along, which makes them hard to track.
- Short captions of random motion give smooth motion without purpose; that is what it was trained for.
"""


def _shares(training: dict[str, Any]) -> str:
    """Which runs drew the categories otherwise than the world does by itself."""
    told = []
    for i, run in enumerate(training["runs"], 1):
        if run.get("shares"):
            parts = ", ".join(f"{share:.0%} {name}" for name, share in sorted(run["shares"].items()))
            told.append(f"run {i} drew {parts}")
    return f" ({'; '.join(told)})" if told else ""


def _run_ends(training: dict[str, Any]) -> list[int]:
    ends, seen = [], 0
    for run in training["runs"]:
        seen += run["clips"]
        ends.append(seen)
    return ends


def count_parameters(folder: Path) -> dict[str, int]:
    """Parameters in each part's safetensors."""
    from safetensors import safe_open

    found = {}
    for part in ("transformer", "vae", "text_encoder"):
        for path in sorted((folder / part).glob("*.safetensors")):
            with safe_open(path, framework="numpy") as weights:
                shapes = [weights.get_slice(key).get_shape() for key in weights.keys()]  # noqa: SIM118
            found[part.replace("_", " ")] = sum(math.prod(shape) for shape in shapes)
    return found


def main() -> None:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["gather", "write"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", nargs="+", type=Path, default=[])
    parser.add_argument("--vae", type=Path)
    parser.add_argument("--device", default="GPU", help="name of the device that the runs used")
    args = parser.parse_args()
    folder: Path = args.folder
    if args.what == "gather":
        facts = gather(args.runs, args.vae, {"device": args.device})
        (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
        return
    training = json.loads((folder / "training.json").read_text("utf-8"))
    taken = folder / "exam.json"
    exam = json.loads(taken.read_text("utf-8")) if taken.exists() else None
    (folder / "loss.svg").write_text(draw_loss(training["history"]))
    (folder / "README.md").write_text(render_card(training, exam, count_parameters(folder)), "utf-8")


if __name__ == "__main__":
    main()
