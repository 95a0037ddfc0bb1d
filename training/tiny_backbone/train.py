r"""Train the transformer and text encoder of `tiny` on clips rendered as it goes, on one GPU or on several.

Resumable in runs of a few minutes. Example (two GPUs, nine minutes, the last two with a falling rate):
  torchrun --nproc-per-node 2 -m training.tiny_backbone.train \
    --vae out/tiny/vae --out out/tiny --minutes 9 --decay-minutes 2
Go on from an earlier run with --resume-from out/tiny, or from the shipped weights with --resume-from
methods/backbones/weights/tiny. The result: a diffusers folder, averaged weights in float16.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from motionbench.methods.backbones.flow import logit_normal_times, noised
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from motionbench.errors import ShapeError
from motionbench.registry import load

from ..run import Run
from . import parts
from .clips import Clips, Source
from .muon import Muon

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How to train. rate is AdamW's, muon_rate Muon's; batch is per GPU; times in minutes of wall clock."""

    out: Path
    vae: Path
    start: Path | None = None
    minutes: float = 9.0
    decay_minutes: float = 0.0
    batch: int = 256
    rate: float = 1e-3
    muon_rate: float = 2e-3
    muon: bool = True
    caption_dropout: float = 0.1
    still_every: int = 10
    seed: int = 0
    workers: int = 3
    reuse: int = 1
    shares: dict[str, float] | None = None
    compile: bool = True


class TextToVideo(nn.Module):
    """Text encoder and transformer, trained together: predicted velocity of noised latents."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.text_encoder = parts.text_encoder(vocabulary_size)
        self.transformer = parts.transformer()

    def forward(self, x: Tensor, t: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.text_encoder(ids, mask).last_hidden_state * mask[..., None]
        velocity: Tensor = self.transformer(x, t * 1000, hidden, return_dict=False)[0]
        return velocity


def optimizers(model: TextToVideo, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for all else (or for everything)."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "blocks." in n and plan.muon]
    held = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in held]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)]
    if hidden:
        made.append(Muon(hidden, lr=plan.muon_rate, weight_decay=0.01))
    return made


def rate_factor(step: int, progress: float, plan: Plan) -> float:
    """Warm-up over 150 steps, constant, and a linear fall to zero over the last `decay_minutes` of the budget."""
    left = plan.minutes * (1 - progress)
    fall = min(1.0, max(0.0, left / plan.decay_minutes)) if plan.decay_minutes else 1.0
    return min(1.0, (step + 1) / 150) * fall


def flow_loss(model: Any, z: Tensor, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of the predicted velocity (rectified flow)."""
    t = logit_normal_times(z.shape[0], parts.SPEC.shift, generator, z.device)
    noise = torch.randn(z.shape, device=z.device, generator=generator)
    predicted = model(noised(z, noise, t), t, ids, mask)
    return F.mse_loss(predicted.float(), noise - z)


def stills(z: Tensor, ids: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Four random frames of every clip as clips of one frame: the model must draw images too (spatial tuning does)."""
    b, _, f, _, _ = z.shape
    index = torch.randint(f, (b, 4), generator=generator, device=z.device)
    picked = z.transpose(1, 2)[torch.arange(b, device=z.device)[:, None], index]  # (B, 4, C, h, w)
    return picked.flatten(0, 1).unsqueeze(2), ids.repeat_interleave(4, 0), mask.repeat_interleave(4, 0)


def save(out: Path, model: TextToVideo, averaged: Any, tokenizer: Any, facts: dict[str, Any]) -> None:
    """The diffusers folder with averaged weights in float16, and the raw weights to go on from."""
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().half().cpu().contiguous() for k, v in model.named_parameters()}, out / "raw.safetensors")
    halved = copy.deepcopy(averaged).half()
    halved.transformer.save_pretrained(out / "transformer")
    halved.text_encoder.save_pretrained(out / "text_encoder")
    tokenizer.save_pretrained(out / "tokenizer")
    (out / "training.json").write_text(json.dumps(facts, indent=1))


def weights_to_resume(folder: Path) -> dict[str, Tensor]:
    """Weights by name, float32, of a folder that `save` wrote; the averaged ones where the raw ones were not kept."""
    raw = folder / "raw.safetensors"
    if raw.is_file():
        return {k: v.float() for k, v in load_file(raw).items()}
    parts = {"text_encoder": "model.safetensors", "transformer": "diffusion_pytorch_model.safetensors"}
    return {
        f"{part}.{k}": v.float() for part, file in parts.items() for k, v in load_file(folder / part / file).items()
    }


class Trainer:
    """Model, run and history of one process."""

    def __init__(self, plan: Plan, device: str, rank: int, ranks: int) -> None:
        torch.manual_seed(plan.seed)
        torch.set_float32_matmul_precision("high")
        self.plan, self.device, self.rank, self.ranks = plan, device, rank, ranks
        self.tokenizer = parts.tokenizer(load("worlds", "procedural")().vocabulary())
        self.model = TextToVideo(len(self.tokenizer)).to(device)
        self.before: list[dict[str, float]] = []  # the history of the run that this one goes on from
        if plan.start is not None:
            self._resume(plan.start)
        factor = partial(rate_factor, plan=plan)
        self.run = Run(self.model, None, plan.minutes, optimizers(self.model, plan), factor)
        if plan.compile:
            self.model.transformer.compile_repeated_blocks(dynamic=False)
        self.generator = torch.Generator(device).manual_seed(plan.seed * 1000 + rank)

    def _resume(self, folder: Path) -> None:
        missing, unknown = self.model.load_state_dict(weights_to_resume(folder), strict=False)
        # Tied embeddings are stored once, under either name.
        if unknown or any("embed_tokens" not in name and "shared" not in name for name in missing):
            raise ShapeError(f"{folder}: weights of another model: missing {missing[:3]}, unknown {unknown[:3]}")
        self.before = json.loads((folder / "training.json").read_text())["history"]

    def train(self) -> None:
        """Train until the planned minutes are over."""
        plan = self.plan
        source = Source(plan.vae, plan.batch, plan.caption_dropout, self.device, plan.shares)
        clips = Clips(source, run=plan.seed, rank=self.rank, ranks=self.ranks, workers=plan.workers, reuse=plan.reuse)
        batches = iter(clips)
        try:
            self.run.loop(lambda step: self.loss(next(batches), step))
        finally:
            clips.close()

    def loss(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> Tensor:
        """The loss of a step on a batch, or on stills of it in every `still_every`th step."""
        every = self.plan.still_every
        still = bool(every) and step % every == every - 1
        latents, ids, mask = stills(*batch, self.generator) if still else batch
        kind = self.device.split(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            return flow_loss(self.model, latents, ids, mask, self.generator)

    @property
    def history(self) -> list[dict[str, float]]:
        """Loss by clips seen, of earlier runs and of this one."""
        seen, batch = (self.before[-1]["clips"] if self.before else 0.0), self.plan.batch * self.ranks
        return self.before + [{"clips": seen + step * batch, "loss": loss} for step, loss in self.run.losses]

    def facts(self) -> dict[str, Any]:
        """What the model card says of the run."""
        return {
            "history": self.history,
            "steps": self.run.step,
            "batch": self.plan.batch * self.ranks,
            "gpus": self.ranks,
            "minutes": self.plan.minutes,
            "decay_minutes": self.plan.decay_minutes,
            "muon": self.plan.muon,
            "rate": self.plan.rate,
            "muon_rate": self.plan.muon_rate,
            "reuse": self.plan.reuse,
            "shares": self.plan.shares,
        }


def parse() -> Plan:
    """The plan on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="folder that train_vae made")
    parser.add_argument("--resume-from", dest="start", type=Path, help="go on from the raw.safetensors in it")
    for name, kind in (
        ("minutes", float),
        ("decay-minutes", float),
        ("batch", int),
        ("rate", float),
        ("muon-rate", float),
    ):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Plan, name.replace("-", "_")))
    parser.add_argument("--workers", type=int, default=3, help="rendering processes per GPU")
    parser.add_argument("--reuse", type=int, default=1, help="times that a rendered batch is used, on average")
    parser.add_argument("--shares", type=json.loads, help='category shares, such as {"camera": 0.3, ...}; sum 1')
    parser.add_argument("--seed", type=int, default=0, help="another seed for every resumed run, so that clips are new")
    parser.add_argument("--no-muon", dest="muon", action="store_false")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    return Plan(**vars(parser.parse_args()))


def main() -> None:
    """Start under torchrun (several GPUs) or plainly (one device)."""
    logging.basicConfig(level=logging.INFO)
    plan = parse()
    world_size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    device = f"cuda:{rank}" if torch.cuda.is_available() else "cpu"
    if device != "cpu":
        torch.cuda.set_device(rank)
    if world_size > 1:
        dist.init_process_group("nccl")
    trainer = Trainer(plan, device, rank, world_size)
    trainer.train()
    if rank == 0:
        save(plan.out, trainer.model, trainer.run.average, trainer.tokenizer, trainer.facts())
        logger.info("done: %d steps, last loss %.4f", trainer.run.step, trainer.history[-1]["loss"])
    if world_size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
