"""Train the VAE of `tiny` on single frames of the procedural world, and measure its latents' mean and deviation.

Example (one GPU, 100 seconds):  python -m training.tiny_backbone.train_vae --out out/tiny --minutes 1.7
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from motionbench.registry import load

from ..run import Run
from .framewise import decode_frames, encode_frames, fold_time, unfold_time
from .parts import vae as new_vae

logger = logging.getLogger(__name__)


def frames_of(world: Any, batch: int, seed: int, device: str) -> Tensor:
    """Four random frames of each of `batch` / 4 training clips: (B, 3, H, W) in [-1, 1]."""
    frames = world.sample(batch // 4, seed=seed, device=device).frames
    index = torch.randint(frames.shape[1], (batch // 4, 4), generator=torch.Generator().manual_seed(seed)).to(device)
    picked: Tensor = frames[torch.arange(batch // 4, device=device)[:, None], index].flatten(0, 1)
    return picked * 2 - 1


def gradient_error(a: Tensor, b: Tensor) -> Tensor:
    """L1 distance of horizontal and vertical pixel differences: what keeps texture sharp enough to be tracked."""
    dx = (a.diff(dim=-1) - b.diff(dim=-1)).abs().mean()
    dy = (a.diff(dim=-2) - b.diff(dim=-2)).abs().mean()
    return dx + dy


def vae_loss(vae: Any, x: Tensor, kl_weight: float) -> Tensor:
    """L1 + gradient + squared error of the reconstruction from a posterior draw, and a small KL term."""
    mean, log_variance = encode_frames(vae, x)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    y = decode_frames(vae, z).float()
    kl = 0.5 * (mean.float() ** 2 + log_variance.float().exp() - 1 - log_variance.float()).mean()
    return (x - y).abs().mean() + gradient_error(x, y) + 2 * F.mse_loss(y, x) + kl_weight * kl


@torch.no_grad()
def measure(vae: Any, world: Any, device: str) -> dict[str, Any]:
    """PSNR in dB on held-out frames, and the latents' mean and deviation per channel."""
    errors, latents = [], []
    for seed in range(8):
        x = frames_of(world, 64, 2_000_000_000 + seed, device)
        mean, _ = encode_frames(vae, x)
        y = decode_frames(vae, mean).clamp(-1, 1)
        errors.append(((x - y) / 2).square().mean(dim=(1, 2, 3)))
        latents.append(mean)
    z = torch.cat(latents).transpose(0, 1).flatten(1)
    psnr = (-10 * torch.log10(torch.cat(errors))).mean()
    return {"psnr_db": float(psnr), "latents_mean": z.mean(1).tolist(), "latents_std": z.std(1).tolist()}


def warm_then_linear(step: int, progress: float) -> float:
    """Linear warm-up, then a linear fall to zero over the budget."""
    return min(1.0, (step + 1) / 100) * min(1.0, 1.6 * (1 - progress))


def train(
    out: Path, *, minutes: float, batch: int, device: str, rate: float, start: Path | None = None
) -> dict[str, Any]:
    """Train for a wall-clock budget; saves `out/vae` and returns the measurement."""
    world = load("worlds", "procedural")()
    torch.manual_seed(0)
    vae = new_vae() if start is None else type(new_vae()).from_pretrained(start)
    vae = fold_time(vae.to(device))
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)
    run = Run(vae, None, minutes, [optimizer], warm_then_linear)

    def loss_of_step(step: int) -> Tensor:
        x = frames_of(world, batch, 1_000_000 + step, device)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=device != "cpu"):
            return vae_loss(vae, x, kl_weight=1e-4)

    run.loop(loss_of_step)
    facts = measure(vae.float(), world, device) | {"steps": run.step, "batch": batch, "minutes": minutes}
    vae.register_to_config(latents_mean=facts["latents_mean"], latents_std=facts["latents_std"])
    unfold_time(vae).cpu().half().save_pretrained(out / "vae")
    (out / "vae.json").write_text(json.dumps(facts, indent=1))
    return facts


def main() -> None:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.7)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--start", type=Path, default=None, help="a vae folder to go on from")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    args.out.mkdir(parents=True, exist_ok=True)
    options = {
        "minutes": args.minutes,
        "batch": args.batch,
        "device": args.device,
        "rate": args.rate,
        "start": args.start,
    }
    logger.info("%s", train(args.out, **options))


if __name__ == "__main__":
    main()
