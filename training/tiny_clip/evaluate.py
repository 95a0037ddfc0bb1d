"""Measure tiny-clip, and what clips show.

python -m training.tiny_clip.evaluate --weights DIR --vae FOLDER
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from motionbench.metrics.tiny_clip.content import ContentWords, describe, mend_articles
from motionbench.metrics.tiny_clip.model import FOLDER, NAME, TinyClip
from numpy.typing import NDArray

from motionbench.registry import load
from motionbench.seeds import derive_seed
from motionbench.world import World

from ..augment import decode_clips, load_decoder
from .card import render_card

logger = logging.getLogger(__name__)
WAYS = 64
HELD_OUT = "tiny_clip held-out"  # names the seeds: never those of training
KINDS = ("scene", "color", "shape")


def plain_captions(content: ContentWords) -> dict[tuple[str, ...], str]:
    """A caption of one subject for every (scene, color, shape): the default templates of `classify`."""
    combinations = itertools.product(content.scene, content.color, content.shape)
    return {labels: " ".join(describe(*labels)) for labels in combinations}


def classify(
    clip: TinyClip, frames: NDArray[np.uint8], templates: Mapping[tuple[str, ...], str] | None = None
) -> tuple[str, ...]:
    """The most likely labels of a clip's frames (T, H, W, 3), kind by kind, without training on them (zero-shot).

    templates: label tuples and a caption for each; by default (scene, color, shape) of one subject. A label's
    likelihood is summed over all captions that hold it, at the model's own temperature, so that doubt about one kind
    does not sway another.
    """
    captions: Mapping[tuple[str, ...], str] = templates or plain_captions(clip.content)
    texts = clip.embed_texts(list(captions.values()))
    return classify_embedding(clip, clip.embed_clip(frames), list(captions), texts)


def classify_embedding(
    clip: TinyClip, embedding: torch.Tensor, labels: Sequence[tuple[str, ...]], texts: torch.Tensor
) -> tuple[str, ...]:
    """As `classify`, from the clip's vector (D,) and the captions' (M, D), for callers with many clips."""
    share = (clip.model.logit_scale.exp() * texts @ embedding).softmax(dim=0).tolist()
    best = []
    for kind in range(len(labels[0])):
        totals: dict[str, float] = {}
        for label, value in zip(labels, share, strict=True):
            totals[label[kind]] = totals.get(label[kind], 0.0) + value
        best.append(max(sorted(totals), key=lambda word: totals[word]))
    return tuple(best)


def prompt_followed(clip: TinyClip, frames: NDArray[np.uint8], prompt: str) -> dict[str, bool]:
    """For scene, color and shape in a prompt: whether the clip fits it better than with any one such word exchanged.

    For prompts with any number of subjects: a kind holds only if it does so at every place. Kinds that the prompt
    does not name are absent. Motion words are left out of the comparison, since single frames cannot show them.
    """
    words = clip.content.without_motion(clip.tokenizer.split(prompt))
    embedding = clip.embed_clip(frames)
    out: dict[str, bool] = {}
    for place, word in enumerate(words):
        kind = clip.content.kind(word)
        if kind is not None:
            texts = [mend_articles(words), *clip.content.alternatives(words, place)]
            scores = clip.embed_texts([" ".join(t) for t in texts]) @ embedding
            out[kind] = out.get(kind, True) and int(scores.argmax()) == 0
    return out


def _held_out(
    world: World, batch: int, number: int, vae: Path | None, decoded: bool, device: str
) -> tuple[NDArray[np.uint8], Any]:
    data = world.sample(batch, seed=derive_seed(0, HELD_OUT, str(number)), device=device)
    frames = data.frames
    if decoded:
        generator = torch.Generator(device).manual_seed(derive_seed(0, HELD_OUT, "decoder", str(number)))
        frames = decode_clips(frames, load_decoder(vae, device), generator)
    return (frames.permute(0, 1, 3, 4, 2) * 255).round().clamp(0, 255).byte().cpu().numpy(), data


def evaluate(clip: TinyClip, world: World, *, vae: Path | None, rounds: int, decoded: bool) -> dict[str, float]:
    """Held-out accuracies: 64-way retrieval both ways and zero-shot labels of one-subject clips, and cosines of true
    and other captions.

    A retrieved caption is right if scene, color and shape of its (first) subject are the clip's.
    """
    totals: dict[str, list[float]] = {}

    def add(name: str, values: Sequence[float]) -> None:
        totals.setdefault(name, []).extend(float(v) for v in values)

    labels = list(templates := plain_captions(clip.content))
    texts = clip.embed_texts(list(templates.values()))
    for number in range(rounds):
        frames, data = _held_out(world, WAYS, number, vae, decoded, clip.device)
        shown = torch.stack([clip.embed_clip(f) for f in frames])
        told = clip.embed_texts(data.captions)
        scores = shown @ told.T
        keys = [tuple(row[kind] for kind in KINDS) for row in data.labels]
        add("clip_to_caption", [keys[i] == keys[j] for i, j in enumerate(scores.argmax(dim=1).tolist())])
        add("caption_to_clip", [keys[i] == keys[j] for j, i in enumerate(scores.argmax(dim=0).tolist())])
        add("cosine_true", scores.diagonal().tolist())
        add("cosine_other", scores[~torch.eye(len(scores), dtype=torch.bool, device=scores.device)].tolist())
        for i, (caption, key) in enumerate(zip(data.captions, keys, strict=True)):
            if len(clip.content.key(clip.tokenizer.split(caption))[1]) == 1:
                found = classify_embedding(clip, shown[i], labels, texts)
                for kind, guess, truth in zip(KINDS, found, key, strict=True):
                    add(f"zero_shot_{kind}", [guess == truth])
            for kind, held in prompt_followed(clip, frames[i], caption).items():
                add(f"prompt_{kind}", [held])
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(totals.items())}


def evaluate_folder(
    folder: Path, world: World, *, vae: Path | None, clips: int, device: str, training: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Measure the model in `folder`; write metrics.json and the model card README.md beside the weights.

    clips: rounded up to whole sets of 64. training: what the training script knows; None keeps what an earlier
    metrics.json says.
    """
    path = folder / "metrics.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    clip, rounds = TinyClip.from_folder(folder, device), -(-clips // WAYS)
    table = {}
    for kind in ("decoded", "rendered"):
        table[kind] = evaluate(clip, world, vae=vae, rounds=rounds, decoded=kind == "decoded")
        logger.info("%s: %s", kind, json.dumps(table[kind]))
    metrics = {
        "model": NAME,
        "parameters": sum(p.numel() for p in clip.model.parameters()),
        "bytes": (folder / f"{NAME}.safetensors").stat().st_size,
        "words": len(clip.tokenizer.words),
        "context_length": clip.tokenizer.context_length,
        "clips": rounds * WAYS,
        "ways": WAYS,
        "decoder": "vae" if vae is not None else "blur",
        "table": table,
        "training": training if training is not None else before.get("training", {}),
    }
    path.write_text(json.dumps(metrics, indent=2) + "\n")
    (folder / "README.md").write_text(render_card(metrics))
    return metrics


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate saved weights; see `evaluate_folder`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=FOLDER)
    parser.add_argument(
        "--vae", type=Path, default=None, help="folder of an AutoencoderKLWan; without it a blur stands in"
    )
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--world", default="procedural")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    world = load("worlds", arguments.world)()
    evaluate_folder(arguments.weights, world, vae=arguments.vae, clips=arguments.clips, device=arguments.device)


if __name__ == "__main__":
    main()
