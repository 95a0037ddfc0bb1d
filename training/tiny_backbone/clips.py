"""Endless training clips as latents and token ids, rendered and encoded by processes of their own.

Rendering launches many small kernels from Python; in the trainer's own process it would take half of every step.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from einops import rearrange
from torch import Tensor

from motionbench.registry import load

from . import parts
from .framewise import encode_frames, fold_time

Batch = TypeVar("Batch")
HELD_BATCHES = 16  # from which a batch is drawn again, where rendering is slower than training
FIRST_TRAINING_SEED = 10_000_000  # below it: the VAE's clips and the held-out ones


@dataclass(frozen=True)
class Source:
    """What a rendering process needs: the trained VAE's folder, clips a batch, share of captions left out, device.

    shares: how often each category is drawn, where that is not the world's own choice.
    """

    vae: Path
    batch: int
    caption_dropout: float
    device: str
    shares: dict[str, float] | None = None


class Studio:
    """Renders batches of captioned clips and encodes them."""

    def __init__(self, source: Source) -> None:
        from diffusers import AutoencoderKLWan

        self.source = source
        self.world = load("worlds", "procedural")()
        self.tokenizer = parts.tokenizer(self.world.vocabulary())
        vae = AutoencoderKLWan.from_pretrained(source.vae, torch_dtype=torch.float32).to(source.device)
        shape = (1, vae.config.z_dim, 1, 1)
        self.mean = torch.tensor(vae.config.latents_mean, device=source.device).view(shape)
        self.std = torch.tensor(vae.config.latents_std, device=source.device).view(shape)
        self.vae = fold_time(vae.requires_grad_(False))

    @torch.no_grad()
    def batch(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, C, F, h, w) float16, ids and mask (B, L), all on the CPU."""
        source = self.source
        clips = self.world.sample(source.batch, seed=seed, device=source.device, shares=source.shares)
        frames = clips.frames.flatten(0, 1) * 2 - 1
        kind = self.source.device.split(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            latents = torch.cat([encode_frames(self.vae, chunk)[0].float() for chunk in frames.split(2048)])
        latents = rearrange((latents - self.mean) / self.std, "(b f) c h w -> b c f h w", b=self.source.batch)
        return latents.half().cpu(), *self._tokens(clips.captions, seed)

    def _tokens(self, captions: list[str], seed: int) -> tuple[Tensor, Tensor]:
        draw = torch.rand(len(captions), generator=torch.Generator().manual_seed(seed)).tolist()
        kept = [c if d >= self.source.caption_dropout else "" for c, d in zip(captions, draw, strict=True)]
        length = parts.SPEC.text_tokens
        tokens = self.tokenizer(kept, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return tokens.input_ids, tokens.attention_mask


def reused(batches: Iterable[Batch], times: int, draw: random.Random) -> Iterator[Batch]:
    """Each batch as it comes, and after it times - 1 draws from the last HELD_BATCHES."""
    held: deque[Batch] = deque(maxlen=HELD_BATCHES)
    for batch in batches:
        held.append(batch)
        yield batch
        for _ in range(times - 1):
            yield draw.choice(held)


def _produce(source: Source, first: int, stride: int, ready: Any) -> None:
    torch.set_num_threads(1)
    studio = Studio(source)
    seed = first
    while True:
        ready.put(studio.batch(seed))
        seed += stride


class Clips:
    """Batches from `workers` rendering processes, moved to the source's device. Every batch has a seed of its own.

    run, rank, ranks: no two runs or processes share a clip. reuse: how many times a batch is given on average, the
    first time as soon as it is there and then at random among the last HELD_BATCHES; noise and times are drawn anew
    each time, so a second look costs training little and saves rendering. Close it to end the processes.
    """

    def __init__(self, source: Source, *, run: int, rank: int, ranks: int, workers: int = 3, reuse: int = 1) -> None:
        context = torch.multiprocessing.get_context("spawn")
        self.device, self.reuse = source.device, reuse
        self.draw = random.Random(run * 1000 + rank)
        self.ready: Any = context.Queue(maxsize=4)
        first = FIRST_TRAINING_SEED + run * 100_000_000 + rank * workers
        stride = ranks * workers
        self.processes = [
            context.Process(target=_produce, args=(source, first + i, stride, self.ready), daemon=True)
            for i in range(workers)
        ]
        for process in self.processes:
            process.start()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for latents, ids, mask in reused(self._rendered(), self.reuse, self.draw):
            yield latents.float(), ids, mask

    def _rendered(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            latents, ids, mask = self.ready.get(timeout=300)
            yield latents.to(self.device), ids.to(self.device), mask.to(self.device)

    def close(self) -> None:
        """End the rendering processes."""
        for process in self.processes:
            process.terminate()
