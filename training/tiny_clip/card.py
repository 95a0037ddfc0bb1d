"""The model card of tiny-clip, written from metrics.json so that no number in it is typed by hand."""
# ruff: noqa: E501 (line breaks are the card's)

from __future__ import annotations

from typing import Any

_COLUMNS = (
    ("clip_to_caption", "clip to caption"),
    ("caption_to_clip", "caption to clip"),
    *((f"zero_shot_{kind}", f"zero-shot {kind}") for kind in ("scene", "color", "shape")),
    *((f"prompt_{kind}", f"{kind} of prompt") for kind in ("scene", "color", "shape")),
)


def render_card(metrics: dict[str, Any]) -> str:
    """The card (Markdown with the Hub's front matter) for a metrics.json as `evaluate_folder` writes it."""
    training = metrics.get("training", {})
    decoder = {"vae": "decoded by the embedded backbone's VAE", "blur": "softened by a stand-in for the VAE"}[
        metrics["decoder"]
    ]
    lines = ["| frames | " + " | ".join(title for _, title in _COLUMNS) + " | cosine, own | cosine, other |"]
    lines.append("|---" * (len(_COLUMNS) + 3) + "|")
    for kind, row in metrics["table"].items():
        cells = [f"{100 * row[key]:.1f}%" if key in row else "-" for key, _ in _COLUMNS]
        lines.append(
            f"| {kind} | " + " | ".join([*cells, f"{row['cosine_true']:.3f}", f"{row['cosine_other']:.3f}"]) + " |"
        )
    loss = ", ".join(f"{value} at step {step}" for step, value in training.get("loss", [])) or "not recorded"
    table = "\n".join(lines)
    about = {"steps": "?", "batch": "?", "training_seconds": "?", "device": "?", "seed": "?"} | training
    size, tokens = f"{metrics['bytes'] / 1e6:.2f} MB", metrics["context_length"]
    return f"""---
license: apache-2.0
tags: [clip]
---
# tiny-clip: a small image-text model for the embedded world

An open_clip architecture (`tiny-clip.json`) with {metrics["parameters"]:,} parameters, {size} in fp16, trained from random
weights on procedurally rendered, captioned clips; no other data and no other model's weights are in it. It lets text
alignment and temporal consistency run offline through the code that runs the real models. Its scores are comparable with
its own only.

## Loading

```python
import open_clip
open_clip.add_model_config("tiny-clip.json")
model = open_clip.create_model("tiny-clip", pretrained="tiny-clip.safetensors")
```
Pixels: 64x64, open_clip's default mean and deviation. Texts:
`motionbench.metrics.tiny_clip.tokenizer.WordTokenizer.from_file("vocabulary.json")`, a word-level tokenizer of
{metrics["words"]} words (all unknown words share one token), {tokens} tokens at most. Both at once:
`motionbench.metrics.tiny_clip.model.TinyClip.from_folder()`.

## Measured

{metrics["clips"]} held-out clips (seeds never used in training). `decoded`: {decoder}. Retrieval is
{metrics["ways"]}-way; a caption is right if scene, color and shape are the clip's. Zero-shot: one-subject clips, no training on the
labels. *Of prompt*: the caption fits better than with any one word of that kind exchanged, at every place where it has one.

{table}

## Training

{about["steps"]} steps of {about["batch"]} clips in {about["training_seconds"]} s on {about["device"]}, seed {about["seed"]}.
Contrastive over the batch and over captions with one content word exchanged; captions of equal content are no negatives,
whatever motion they tell. Loss: {loss}.
Command: `python -m training.tiny_clip.train --out DIR --vae FOLDER --minutes M`; this card:
`python -m training.tiny_clip.evaluate --weights DIR/weights --vae FOLDER`.

## Limits

It knows the words in `vocabulary.json` and the pictures of the embedded world, nothing else. It reads single frames:
motion words hardly move it.
"""
