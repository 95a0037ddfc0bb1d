"""Train the `tiny` tracker on the procedural world.

python -m training.tiny_tracker.train --out DIR --vae FOLDER --minutes 8
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from motionbench.metrics.trackers.frame_features import TrackerConfig
from motionbench.metrics.trackers.learned import save_tracker
from motionbench.metrics.trackers.tracker_net import Prediction, TrackerNet
from torch import Tensor

from motionbench.registry import load
from motionbench.seeds import derive_seed
from motionbench.world import Batch, World

from ..augment import LATENT_NOISE, Decoder, decode_some, disturb, load_decoder
from ..run import Run, add_arguments, describe_run, step_generator

logger = logging.getLogger(__name__)
SUPPORT = 48  # full-frame points that all others read
OVERSAMPLE = 3  # the world's points, per point used: room to choose points on objects
FOREGROUND = 0.5  # share of the other points that lies on objects
ROUND_DECAY = 0.8  # weight of a round's loss against the next round's


@dataclass
class Lesson:
    """Clips and true tracks of one step. valid (B, N): the point is seen in the first frame; the other fields as in
    `world.Batch`."""

    frames: Tensor
    queries: Tensor
    points: Tensor
    visible: Tensor
    valid: Tensor


def _coin(batch: int, generator: torch.Generator) -> Tensor:
    return torch.rand(batch, device=generator.device, generator=generator) < 0.5


def _choose(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices (B, count) drawn without replacement in proportion to weights (B, N), by Gumbel noise: no wait for the
    device."""
    noise = torch.rand(weights.shape, device=weights.device, generator=generator).clamp(1e-9, 1 - 1e-7)
    return (weights.clamp(min=1e-12).log() - (-noise.log()).log()).topk(count, dim=1).indices


def make_lesson(data: Batch, points: int, decoder: Decoder, generator: torch.Generator) -> Lesson:
    """The batch's clips played both ways, mirrored, recolored, half of them decoded, all disturbed.

    `points` tracks each, of which the first 48 lie all over the frame and half of the others on objects.
    """
    batch, device = len(data.frames), generator.device
    frames, tracks, visible = data.frames, data.points, data.visible
    backwards = _coin(batch, generator)
    frames = torch.where(backwards[:, None, None, None, None], frames.flip(1), frames)
    tracks = torch.where(backwards[:, None, None, None], tracks.flip(2), tracks)
    visible = torch.where(backwards[:, None, None], visible.flip(2), visible)
    for axis, length in ((0, frames.shape[4]), (1, frames.shape[3])):
        mirrored = _coin(batch, generator)
        frames = torch.where(mirrored[:, None, None, None, None], frames.flip(4 - axis), frames)
        flipped = torch.where(mirrored[:, None, None], length - 1 - tracks[..., axis], tracks[..., axis])
        tracks = torch.stack([flipped, tracks[..., 1]] if axis == 0 else [tracks[..., 0], flipped], dim=-1)
    order = torch.rand(batch, 3, device=device, generator=generator).argsort(dim=1)
    frames = frames.gather(2, order[:, None, :, None, None].expand_as(frames))  # no color is special
    frames = decode_some(frames, decoder, generator)
    seen = visible[:, :, 0].float()
    object_weight = torch.where(data.background, 1 - FOREGROUND, FOREGROUND)
    crowd = torch.where(data.background, (seen * data.background).sum(1, True), (seen * ~data.background).sum(1, True))
    support = _choose(seen, min(SUPPORT, points // 2), generator)
    others = _choose(seen * object_weight / crowd.clamp(min=1), points - support.shape[1], generator)
    index = torch.cat([support, others], dim=1)
    tracks = tracks.gather(1, index[:, :, None, None].expand(-1, -1, *tracks.shape[2:]))
    visible = visible.gather(1, index[:, :, None].expand(-1, -1, visible.shape[2]))
    return Lesson(disturb(frames, generator), tracks[:, :, 0], tracks, visible, visible[:, :, 0])


def tracking_loss(found: Prediction, lesson: Lesson, uncertain_px: float, size: int, delta: float = 0.25) -> Tensor:
    """Huber on positions (quadratic below `delta` px), cross-entropies on visibility, on `off by more than
    uncertain_px` and on the first guess.

    Hidden points inside the frame count a fifth: they keep a track on its course while something passes before it.
    Points outside count a twentieth, and no further out than 8 px.
    """
    true = lesson.points.clamp(-8.0, size + 7.0)
    inside = ((lesson.points > -0.5) & (lesson.points < size - 0.5)).all(dim=-1)
    seen, valid = lesson.visible.float(), lesson.valid[:, :, None].float()
    weight = valid * torch.where(lesson.visible, 1.0, torch.where(inside, 0.2, 0.05))
    rounds = len(found.points)
    decay = (
        ROUND_DECAY ** torch.arange(rounds - 1, -1, -1, device=true.device, dtype=torch.float32)[:, None, None, None]
    )
    gap = F.huber_loss(found.points, true.expand_as(found.points), delta=delta, reduction="none").sum(dim=-1) / delta
    off = ((found.points.detach() - true).square().sum(dim=-1) > uncertain_px**2).float()
    hidden = F.binary_cross_entropy_with_logits(found.visible, seen.expand_as(found.visible), reduction="none")
    unsure = F.binary_cross_entropy_with_logits(found.uncertain, off, reduction="none")
    rest = valid * seen
    refined = (decay * (gap * weight + 1.5 * hidden * valid + 0.5 * unsure * rest)).sum() / (
        weight.sum() * decay.sum()
    ).clamp(min=1)
    side = round(found.volume.shape[-1] ** 0.5)
    cell = ((lesson.points + 0.5) * (side / size)).floor().long().clamp(0, side - 1)
    guess = found.volume.logsumexp(dim=-1) - found.volume.gather(
        -1, (cell[..., 1] * side + cell[..., 0]).unsqueeze(-1)
    ).squeeze(-1)
    return refined + 0.1 * (guess * rest).sum() / rest.sum().clamp(min=1)


def train(world: World, arguments: argparse.Namespace) -> Run:
    """Train on `world` within the budget; the returned run holds the averaged model."""
    device = arguments.device
    config = TrackerConfig()
    torch.manual_seed(derive_seed(arguments.seed, "tiny_tracker", "init"))
    run = Run.of(TrackerNet(config).to(device), arguments)
    decoder = load_decoder(arguments.vae, device, latent_noise=LATENT_NOISE)
    network: Callable[..., Prediction] = torch.compile(run.model) if arguments.compile else run.model
    support = min(SUPPORT, arguments.points // 2)
    on_gpu = str(device).startswith("cuda")
    held: dict[int, Batch] = {}

    def draw(step: int) -> Lesson:
        number = step // arguments.reuse
        if number not in held:
            held.clear()
            seed = derive_seed(arguments.seed, "tiny_tracker", "train", str(number))
            held[number] = world.sample(arguments.batch, seed=seed, device=device, points=arguments.points * OVERSAMPLE)
        return make_lesson(held[number], arguments.points, decoder, step_generator(arguments.seed, step, device))

    def loss_of_step(step: int) -> Tensor:
        with torch.no_grad():
            lesson = draw(step)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=on_gpu):
            found = network(lesson.frames, lesson.queries, support)
        return tracking_loss(found, lesson, config.uncertain_px, config.size)

    run.loop(loss_of_step)
    return run


def main(argv: Sequence[str] | None = None) -> None:
    """Train, save the weights and evaluate them on held-out clips."""
    from .evaluate import evaluate_folder

    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, batch=64, learning_rate=1e-3)
    parser.add_argument("--points", type=int, default=112, help="tracks a clip")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    world = load("worlds", arguments.world)()
    run = train(world, arguments)
    folder = arguments.out / "weights"
    save_tracker(run.average, folder)  # type: ignore[arg-type]
    about = describe_run(run, arguments) | {"points": arguments.points}
    evaluate_folder(
        folder, world, vae=arguments.vae, clips=arguments.evaluation_clips, device=arguments.device, training=about
    )


if __name__ == "__main__":
    main()
