"""Train tiny-clip on the procedural world.

python -m training.tiny_clip.train --out DIR --vae FOLDER --minutes 8
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from motionbench.metrics.tiny_clip.content import ContentWords
from motionbench.metrics.tiny_clip.model import build, model_config, normalization, save_clip
from motionbench.metrics.tiny_clip.tokenizer import UNKNOWN, WordTokenizer
from torch import Tensor

from motionbench.registry import load
from motionbench.seeds import derive_seed
from motionbench.world import Batch, World

from ..augment import LATENT_NOISE, Decoder, decode_some, disturb, load_decoder
from ..run import Run, add_arguments, describe_run, step_generator

logger = logging.getLogger(__name__)
FRAMES = 3  # drawn from each clip
MOTION_DROPPED = 0.5  # share of captions without their motion words
WORD_LOST = 0.03  # share of words read as unknown, so that the unknown token means nothing in particular


@dataclass
class Lesson:
    """Images (B, FRAMES, 3, H, W) in [0, 1]; tokens (2B, L): the captions, then near misses; same (B, 2B): text shows
    the clip's content."""

    images: Tensor
    tokens: Tensor
    same: Tensor


class Captions:
    """Turns captions into tokens, near misses and the table of equal content, on the CPU."""

    def __init__(self, tokenizer: WordTokenizer, content: ContentWords) -> None:
        self.tokenizer, self.content = tokenizer, content

    def read(self, captions: Sequence[str], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Tokens (2B, L) and equality of content (B, 2B)."""
        split = [self.tokenizer.split(caption) for caption in captions]
        told = [self.content.without_motion(w) if rng.random() < MOTION_DROPPED else w for w in split]
        near = [self.content.near_miss(w, rng) for w in told]
        keys = [self.content.key(w) for w in [*told, *near]]
        numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        ids = torch.tensor([numbers[key] for key in keys])
        tokens = self.tokenizer([" ".join(w) for w in [*told, *near]])
        lost = (
            torch.from_numpy(rng.random(tokens.shape) < WORD_LOST)
            & (tokens > UNKNOWN + 1)
            & (tokens < self.tokenizer.end)
        )
        words = (*self.content.scene, *self.content.color, *self.content.shape)
        kept = sorted(self.tokenizer.numbers[word] for word in words if word in self.tokenizer.numbers)
        lost &= ~torch.isin(tokens, torch.tensor(kept))
        return tokens.masked_fill(lost, UNKNOWN), ids[: len(captions), None] == ids[None]


def make_images(data: Batch, decoder: Decoder, generator: torch.Generator) -> Tensor:
    """FRAMES random frames of each clip, some mirrored, half of the clips decoded, all disturbed: (B, FRAMES, 3, H,
    W)."""
    frames = data.frames
    batch, steps = frames.shape[:2]
    count = min(FRAMES, steps)
    draw = torch.rand(batch, steps, device=frames.device, generator=generator).topk(count, dim=1).indices
    images = frames.gather(1, draw[:, :, None, None, None].expand(-1, -1, *frames.shape[2:]))
    mirrored = torch.rand(batch, 1, 1, 1, 1, device=frames.device, generator=generator) < 0.5
    images = torch.where(mirrored, images.flip(-1), images)
    return disturb(decode_some(images, decoder, generator), generator)


def contrastive_loss(image: Tensor, text: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy both ways between images (B, F, D) and texts (2B, D), spread evenly over all partners of equal
    content.

    The first B texts are the clips' own; the others are near misses, which only images choose among.
    """
    batch, count = image.shape[:2]
    logits = scale * F.normalize(image.float(), dim=-1).flatten(0, 1) @ F.normalize(text.float(), dim=-1).T  # (B*F, 2B)
    goal = same.float().repeat_interleave(count, dim=0)
    to_text = -(goal / goal.sum(dim=1, keepdim=True) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    own, mine = logits[:, :batch].T, goal[:, :batch].T  # (B, B*F)
    to_image = -(mine / mine.sum(dim=1, keepdim=True) * own.log_softmax(dim=1)).sum(dim=1).mean()
    return (to_text + to_image) / 2


def train(world: World, arguments: argparse.Namespace) -> tuple[Run, WordTokenizer, ContentWords, dict[str, Any]]:
    """Train on `world` within the budget; the run holds the averaged model."""
    device = arguments.device
    tokenizer, content = WordTokenizer(world.vocabulary()), ContentWords.from_world(world, device)
    config, captions = model_config(tokenizer), Captions(tokenizer, content)
    torch.manual_seed(derive_seed(arguments.seed, "tiny_clip", "init"))
    run = Run.of(build(config).to(device), arguments)
    decoder = load_decoder(arguments.vae, device, latent_noise=LATENT_NOISE)
    mean, std = normalization(device)
    network: Callable[..., Any] = torch.compile(run.model) if arguments.compile else run.model
    on_gpu = str(device).startswith("cuda")
    held: dict[int, Batch] = {}

    def draw(step: int) -> Lesson:
        number = step // arguments.reuse
        if number not in held:
            held.clear()
            held[number] = world.sample(
                arguments.batch, seed=derive_seed(arguments.seed, "tiny_clip", "train", str(number)), device=device
            )
        tokens, same = captions.read(
            held[number].captions, np.random.default_rng(derive_seed(arguments.seed, "words", str(step)))
        )
        images = make_images(held[number], decoder, step_generator(arguments.seed, step, device))
        return Lesson(images, tokens.to(device, non_blocking=True), same.to(device, non_blocking=True))

    def loss_of_step(step: int) -> Tensor:
        with torch.no_grad():
            lesson = draw(step)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=on_gpu):
            image, text, scale = network((lesson.images.flatten(0, 1) - mean) / std, lesson.tokens)
        return contrastive_loss(
            image.unflatten(0, lesson.images.shape[:2]), text, lesson.same, scale.clamp(max=math.exp(4.6052))
        )

    run.loop(loss_of_step)
    return run, tokenizer, content, config


def main(argv: Sequence[str] | None = None) -> None:
    """Train, save the weights and evaluate them on held-out clips."""
    from .evaluate import evaluate_folder

    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, batch=128, learning_rate=1e-3)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.backends.cuda.matmul.allow_tf32 = True
    world = load("worlds", arguments.world)()
    run, tokenizer, content, config = train(world, arguments)
    folder = arguments.out / "weights"
    save_clip(run.average, tokenizer, content, config, folder)
    about = describe_run(run, arguments)
    evaluate_folder(
        folder, world, vae=arguments.vae, clips=arguments.evaluation_clips, device=arguments.device, training=about
    )


if __name__ == "__main__":
    main()
