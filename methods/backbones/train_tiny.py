r"""Train the transformer and text encoder of `tiny` on clips rendered as it goes, on one GPU or on several.

Resumable in runs of a few minutes. Example (two GPUs, nine minutes, the last two with a falling rate):
  torchrun --nproc-per-node 2 -m motionbench.methods.backbones.train_tiny \
    --vae out/tiny/vae --out out/tiny --minutes 9 --decay-minutes 2
Go on from an earlier run with --start out/tiny. The result is a diffusers folder with the averaged weights in float16.
"""

from __future__ import annotations

import argparse
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from motionbench.registry import load

from . import tiny_parts
from .flow import logit_normal_times, noised
from .framewise import encode_frames, fold_time
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
    ema: float = 0.999
    seed: int = 0
    compile: bool = True


class TextToVideo(nn.Module):
    """Text encoder and transformer, trained together: predicted velocity of noised latents."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.text_encoder = tiny_parts.text_encoder(vocabulary_size)
        self.transformer = tiny_parts.transformer()

    def forward(self, x: Tensor, t: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.text_encoder(ids, mask).last_hidden_state * mask[..., None]
        velocity: Tensor = self.transformer(x, t * 1000, hidden, return_dict=False)[0]
        return velocity


class Clips:
    """Latents and token ids of endless training clips, rendered and encoded one batch ahead in a thread."""

    def __init__(self, plan: Plan, tokenizer: Any, device: str, rank: int, world_size: int) -> None:
        from diffusers import AutoencoderKLWan

        self.plan, self.device, self.tokenizer = plan, device, tokenizer
        self.world = load("worlds", "procedural")()
        vae = AutoencoderKLWan.from_pretrained(plan.vae, torch_dtype=torch.float32).to(device).requires_grad_(False)
        shape = (1, vae.config.z_dim, 1, 1)
        self.mean = torch.tensor(vae.config.latents_mean, device=device).view(shape)
        self.std = torch.tensor(vae.config.latents_std, device=device).view(shape)
        self.vae = fold_time(vae)
        self.seeds = range(10_000_000 + plan.seed * 100_000_000 + rank, 2**62, world_size)
        self.ready: queue.Queue[Any] = queue.Queue(maxsize=2)
        threading.Thread(target=self._fill, daemon=True).start()

    @torch.no_grad()
    def batch(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, C, F, h, w) float32, ids and mask (B, L)."""
        clips = self.world.sample(self.plan.batch, seed=seed, device=self.device)
        frames = clips.frames.flatten(0, 1) * 2 - 1
        kind = self.device.split(":")[0]
        parts: list[Tensor] = []
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            parts.extend(encode_frames(self.vae, chunk)[0].float() for chunk in frames.split(2048))
        z = (torch.cat(parts) - self.mean) / self.std
        z = rearrange(z, "(b f) c h w -> b c f h w", b=self.plan.batch)
        ids, mask = self._tokens(clips.captions, seed)
        return z, ids, mask

    def _tokens(self, captions: list[str], seed: int) -> tuple[Tensor, Tensor]:
        draw = torch.rand(len(captions), generator=torch.Generator().manual_seed(seed)).tolist()
        kept = [c if d >= self.plan.caption_dropout else "" for c, d in zip(captions, draw, strict=True)]
        length = tiny_parts.SPEC.text_tokens
        tokens = self.tokenizer(kept, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return tokens.input_ids.to(self.device), tokens.attention_mask.to(self.device)

    def _fill(self) -> None:
        stream = torch.cuda.Stream(self.device) if self.device.startswith("cuda") else None
        for seed in self.seeds:
            if stream is None:
                self.ready.put((self.batch(seed), None))
                continue
            with torch.cuda.device(self.device), torch.cuda.stream(stream):
                made = self.batch(seed)
            done = torch.cuda.Event()
            done.record(stream)
            self.ready.put((made, done))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            made, done = self.ready.get()
            if done is not None:
                current = torch.cuda.current_stream(self.device)
                current.wait_event(done)
                for tensor in made:  # made on another stream: its memory must outlive this stream's use of it
                    tensor.record_stream(current)
            yield made


def optimizers(model: TextToVideo, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for all else (or for everything)."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "blocks." in n and plan.muon]
    held = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in held]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)]
    if hidden:
        made.append(Muon(hidden, lr=plan.muon_rate, weight_decay=0.01))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


def rate_factor(step: int, elapsed_minutes: float, plan: Plan) -> float:
    """Warm-up over 150 steps, constant, and a linear fall to zero over the last `decay_minutes`."""
    left = plan.minutes - elapsed_minutes
    fall = min(1.0, max(0.0, left / plan.decay_minutes)) if plan.decay_minutes else 1.0
    return min(1.0, (step + 1) / 150) * fall


def flow_loss(model: Any, z: Tensor, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of the predicted velocity (rectified flow)."""
    t = logit_normal_times(z.shape[0], tiny_parts.SPEC.shift, generator, z.device)
    noise = torch.randn(z.shape, device=z.device, generator=generator)
    predicted = model(noised(z, noise, t), t, ids, mask)
    return F.mse_loss(predicted.float(), noise - z)


def stills(z: Tensor, ids: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Four random frames of every clip as clips of one frame: the model must draw images too (spatial tuning does)."""
    b, _, f, _, _ = z.shape
    index = torch.randint(f, (b, 4), generator=generator, device=z.device)
    picked = z.transpose(1, 2)[torch.arange(b, device=z.device)[:, None], index]  # (B, 4, C, h, w)
    return picked.flatten(0, 1).unsqueeze(2), ids.repeat_interleave(4, 0), mask.repeat_interleave(4, 0)


def average_gradients(parameters: list[Tensor]) -> None:
    """Mean of the gradients over all processes, as one flat tensor."""
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat, op=dist.ReduceOp.AVG)
    for g, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        g.copy_(part.view_as(g))


def save(out: Path, model: TextToVideo, averaged: list[Tensor], tokenizer: Any, facts: dict[str, Any]) -> None:
    """The diffusers folder with averaged weights in float16, and the raw weights to go on from."""
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().half().cpu().contiguous() for k, v in model.named_parameters()}, out / "raw.safetensors")
    raw = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        torch._foreach_copy_(list(model.parameters()), averaged)
    model.transformer.half().save_pretrained(out / "transformer")
    model.text_encoder.half().save_pretrained(out / "text_encoder")
    model.float()
    with torch.no_grad():
        torch._foreach_copy_(list(model.parameters()), raw)
    tokenizer.save_pretrained(out / "tokenizer")
    (out / "training.json").write_text(json.dumps(facts, indent=1))


def train(plan: Plan, device: str, rank: int, world_size: int) -> dict[str, Any]:
    """Train for the planned minutes; rank 0 saves and returns the facts of the run."""
    torch.manual_seed(plan.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = tiny_parts.tokenizer(load("worlds", "procedural")().vocabulary())
    model = TextToVideo(len(tokenizer)).to(device)
    history: list[dict[str, float]] = []
    if plan.start is not None:
        model.load_state_dict(
            {k: v.float() for k, v in load_file(plan.start / "raw.safetensors").items()}, strict=False
        )
        history = json.loads((plan.start / "training.json").read_text())["history"]
    parameters: list[Tensor] = list(model.parameters())
    averaged = [p.detach().clone() for p in parameters]
    if plan.compile:
        model.transformer.compile_repeated_blocks(dynamic=False)
    steppers = optimizers(model, plan)
    generator = torch.Generator(device).manual_seed(plan.seed * 1000 + rank)
    offset = history[-1]["clips"] if history else 0.0
    began, step, total = time.monotonic(), 0, torch.zeros((), device=device)
    kind = device.split(":")[0]
    for z, ids, mask in Clips(plan, tokenizer, device, rank, world_size):
        elapsed = (time.monotonic() - began) / 60
        stop = torch.tensor(float(elapsed >= plan.minutes), device=device)
        if step % 10 == 0:  # all processes must leave the loop at the same step
            if world_size > 1:
                dist.all_reduce(stop, op=dist.ReduceOp.MAX)
            if stop.item():
                break
        for stepper in steppers:
            for group in stepper.param_groups:
                group["lr"] = group["peak"] * rate_factor(step, elapsed, plan)
            stepper.zero_grad(set_to_none=True)
        still = plan.still_every and step % plan.still_every == plan.still_every - 1
        batch = stills(z, ids, mask, generator) if still else (z, ids, mask)
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            loss = flow_loss(model, *batch, generator)
        loss.backward()
        if world_size > 1:
            average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for stepper in steppers:
            stepper.step()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, parameters, 1 - min(plan.ema, (step + 1) / (step + 10)))
        step += 1
        if not still:
            total = 0.98 * total + 0.02 * loss.detach() if step > 1 else loss.detach()
        if step % 50 == 0 and rank == 0:
            clips = offset + step * plan.batch * world_size
            history.append({"clips": clips, "loss": float(total), "minutes": elapsed})
            if step % 200 == 0:
                logger.info("step %d clips %.0f loss %.4f at %.2f min", step, clips, float(total), elapsed)
    facts = {
        "history": history,
        "steps": step,
        "batch": plan.batch * world_size,
        "gpus": world_size,
        "minutes": plan.minutes,
        "muon": plan.muon,
        "rate": plan.rate,
        "muon_rate": plan.muon_rate,
    }
    if rank == 0:
        save(plan.out, model, averaged, tokenizer, facts)
    return facts


def parse() -> Plan:
    """The plan on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="folder that train_vae made")
    parser.add_argument("--start", type=Path, default=None, help="go on from this folder's raw.safetensors")
    for name, kind in (
        ("minutes", float),
        ("decay-minutes", float),
        ("batch", int),
        ("rate", float),
        ("muon-rate", float),
    ):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Plan, name.replace("-", "_")))
    parser.add_argument("--seed", type=int, default=0, help="another seed for every resumed run, so that clips are new")
    parser.add_argument("--no-muon", dest="muon", action="store_false")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    return Plan(**vars(parser.parse_args()))


def main() -> None:
    """Start under torchrun (several GPUs) or plainly (one device)."""
    import os

    logging.basicConfig(level=logging.INFO)
    plan = parse()
    world_size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    device = f"cuda:{rank}" if torch.cuda.is_available() else "cpu"
    if device != "cpu":
        torch.cuda.set_device(rank)
    if world_size > 1:
        dist.init_process_group("nccl")
    facts = train(plan, device, rank, world_size)
    if rank == 0:
        logger.info(
            "done: %d steps, last loss %.4f",
            facts["steps"],
            facts["history"][-1]["loss"] if facts["history"] else float("nan"),
        )
    os._exit(0)  # the rendering thread may be inside a CUDA call, which a normal exit would wait for


if __name__ == "__main__":
    main()
