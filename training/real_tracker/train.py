"""Train the tracker `real` on clips made of nothing; resumable.

python -m training.real_tracker.train --out DIR --minutes 20 [--init FOLDER] [--compile]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from motionbench.metrics.trackers.frame_features import TrackerConfig
from motionbench.metrics.trackers.learned import save_tracker
from motionbench.metrics.trackers.tracker_net import TrackerNet
from safetensors.torch import load_file
from torch import Tensor

from motionbench.seeds import derive_seed

from ..run import Run, add_arguments, describe_run
from ..tiny_tracker.train import Lesson, tracking_loss
from .bank import GrowingBank
from .layers import Draws
from .photometry import disturb
from .scenes import Renderer, Scene

logger = logging.getLogger(__name__)
CONFIG = TrackerConfig(
    size=64, stem=4, detail=32, stage_widths=(64, 96, 128), channels=64, width=256, blocks=4, rounds=4, heads=4
)
SUPPORT = 64  # full-frame points that all others read
HUBER_CELLS = 0.1  # where the loss of a position turns from quadratic to linear
BANK = 3000
HELD_OUT = 900_000_000  # seeds from here on are never trained on


def to_lesson(scene: Scene, config: TrackerConfig, draws: Draws) -> Lesson:
    """The scene as the network takes it: disturbed frames, positions in cells."""
    points = (scene.points + 0.5) / config.stem - 0.5
    return Lesson(disturb(scene.frames, draws), points[:, :, 0], points, scene.visible, scene.valid)


def turned(scene: Scene, step: int, side: int) -> Scene:
    """The scene once more: mirrored and backwards, or upside down; a point must be seen where it now begins."""
    frames, points, visible = scene.frames, scene.points.clone(), scene.visible
    if step % 2:
        frames, visible, points = frames.flip(1), visible.flip(2), points.flip(2)
    axis = step % 3 - 1
    if axis >= 0:
        frames = frames.flip(4 - axis)
        points[..., axis] = side - 1 - points[..., axis]
    return Scene(frames, points, visible, scene.valid & visible[:, :, 0])


def adopt(model: TrackerNet, folder: Path) -> None:
    """Begin from the weights of an earlier network; inputs that it did not have begin at zero."""
    old, new = load_file(folder / "model.safetensors"), model.state_dict()
    for name, value in old.items():
        value = value.float()
        if name == "read.weight" and value.shape != new[name].shape:
            extra = new[name].shape[1] - value.shape[1]
            before = value.shape[1] - (new[name].shape[1] - extra) + _before_details(model.config)
            value = torch.cat([value[:, :before], value.new_zeros(len(value), extra), value[:, before:]], 1)
        if name == "sharpness" and value.shape != new[name].shape:
            value = torch.cat([value, value.new_full((len(new[name]) - len(value),), 2.5)])
        new[name] = value
    model.load_state_dict(new)


def _before_details(config: TrackerConfig) -> int:
    return 9 * (2 * config.fine_radius + 1) ** 2 + config.channels + 2 * (2 * config.wide_radius + 1) ** 2


@torch.no_grad()
def evaluate(model: TrackerNet, renderer: Renderer, bank: GrowingBank, batches: int = 3) -> dict[str, float]:
    """Shares on held-out scenes: within 1 to 16 pixels of 256 averaged (all, and on each threshold), visibility."""
    config, found_all = model.config, []
    for number in range(batches):
        seed = HELD_OUT + number
        scene = renderer.scene(bank.bank(), 6, 160, SUPPORT, seed)
        lesson = to_lesson(scene, config, Draws(renderer.device, seed))
        with torch.autocast(torch.device(renderer.device).type, torch.bfloat16, enabled=renderer.device != "cpu"):
            found = model(lesson.frames, lesson.queries, SUPPORT)
        off = (found.points[-1] - lesson.points).norm(dim=-1) * config.stem * 256 / config.pixels
        seen = lesson.visible.clone()
        seen[:, :, 0] = False
        sure = torch.sigmoid(found.visible[-1]) * torch.sigmoid(-found.uncertain[-1]) > config.visible_threshold
        asked = lesson.valid[:, :, None].expand_as(seen).clone()
        asked[:, :, 0] = False
        shares = [(off[seen] < limit).float().mean().item() for limit in (1, 2, 4, 8, 16)]
        found_all.append([*shares, (sure == lesson.visible)[asked].float().mean().item()])
    mean = torch.tensor(found_all).mean(0).tolist()
    return {
        "delta_avg": round(sum(mean[:5]) / 5, 4),
        "within": [round(x, 4) for x in mean[:5]],
        "OA": round(mean[5], 4),
    }  # type: ignore[dict-item]


def make_step(model: TrackerNet, device: str, *, compile: bool) -> Callable[[Lesson], Tensor]:
    """The loss of a lesson, forward only."""

    def loss(frames: Tensor, queries: Tensor, points: Tensor, visible: Tensor, valid: Tensor) -> Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu"):
            found = model(frames, queries, SUPPORT)
        lesson = Lesson(frames, queries, points, visible, valid)
        return tracking_loss(found, lesson, model.config.uncertain_px, model.config.size, delta=HUBER_CELLS)

    run = torch.compile(loss, dynamic=False) if compile else loss
    return lambda lesson: run(lesson.frames, lesson.queries, lesson.points, lesson.visible, lesson.valid)


def train(arguments: argparse.Namespace) -> Run:
    """Train within the budget; the returned run holds the averaged network."""
    device = str(arguments.device)
    bank = GrowingBank(device, arguments.bank, arguments.processes, 1 + int(time.time()) % 1_000_000 * 500)
    torch.manual_seed(derive_seed(arguments.seed, "real_tracker", "init"))
    model = TrackerNet(CONFIG).to(device)
    if arguments.init is not None:
        adopt(model, arguments.init)
    run = Run.of(model, arguments)
    renderer = Renderer(device, CONFIG.pixels, arguments.frames, compile=arguments.compile)
    forward = make_step(run.model, device, compile=arguments.compile)  # type: ignore[arg-type]
    bank.collect(at_least=min(arguments.bank, arguments.first_pictures))
    held: dict[int, Scene] = {}
    marks: list[dict[str, object]] = []
    every, began = arguments.evaluate_every, time.monotonic()

    def loss_of_step(step: int) -> Tensor:
        number = step // arguments.reuse
        if number not in held:
            held.clear()
            bank.collect()
            seed = derive_seed(arguments.seed, "real_tracker", "train", str(number)) % HELD_OUT
            held[number] = renderer.scene(bank.bank(), arguments.batch, arguments.points, SUPPORT, seed)
        scene = held[number] if step % arguments.reuse == 0 else turned(held[number], step + 1, CONFIG.pixels)
        with torch.no_grad():
            lesson = to_lesson(
                scene, CONFIG, Draws(device, derive_seed(arguments.seed, "disturb", str(step)) % HELD_OUT)
            )
        if step and step % every == 0:
            marks.append(
                {
                    "step": step,
                    "seconds": round(run.elapsed + time.monotonic() - began),
                    **evaluate(run.average, renderer, bank),
                }
            )  # type: ignore[arg-type]
            logger.info("%s pictures %d", marks[-1], bank.made)
            (arguments.out / "curve.jsonl").open("a").write(json.dumps(marks[-1]) + "\n")
        return forward(lesson)

    try:
        run.loop(loss_of_step)
        logger.info("final %s", evaluate(run.average, renderer, bank, 8))  # type: ignore[arg-type]
    finally:
        bank.close()
    return run


def main(argv: Sequence[str] | None = None) -> None:
    """Train and save the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, batch=16, learning_rate=6e-4)
    parser.add_argument("--points", type=int, default=208, help="tracks a clip")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--bank", type=int, default=BANK, help="pictures held at once")
    parser.add_argument("--first-pictures", type=int, default=600, help="pictures to wait for before the first step")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="that make pictures")
    parser.add_argument("--init", type=Path, help="folder of weights to begin from")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = train(arguments)
    save_tracker(run.average, arguments.out / "weights")  # type: ignore[arg-type]
    (arguments.out / "weights" / "training.json").write_text(json.dumps(describe_run(run, arguments), indent=2) + "\n")


if __name__ == "__main__":
    main()
