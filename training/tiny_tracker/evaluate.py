"""Measure trackers on held-out procedural clips.

python -m training.tiny_tracker.evaluate --weights DIR --vae FOLDER
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from motionbench.metrics.trackers.learned import load_tracker
from motionbench.metrics.trackers.tiny import FOLDER, TinyTracker
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.cpu_threads import cpu_threads
from motionbench.errors import PluginError, UnknownNameError
from motionbench.registry import load
from motionbench.seeds import derive_seed
from motionbench.tracks import Tracker, Tracks, grid_queries
from motionbench.world import World

from ..augment import decode_clips, load_decoder
from .card import render_card

logger = logging.getLogger(__name__)
THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of a 256x256 frame, as in TAP-Vid (arXiv:2211.03726)
MOVING = 0.01  # range over diagonal from which a point counts as moving (motion_fidelity's own rule)
GRID = 20
OVERSAMPLE = 8  # points asked of the world, per point of the grid
BATCH = 16
HELD_OUT = "tiny_tracker held-out"  # names the seeds: never those of training


@dataclass
class Exam:
    """One held-out clip with ground truth. points (N, T, 2) pixels, visible (N, T), background (N,); queries are
    points[:, 0]."""

    clip: Clip
    points: NDArray[np.float32]
    visible: NDArray[np.bool_]
    background: NDArray[np.bool_]


def make_exams(world: World, clips: int, *, vae: Path | None, decoded: bool, device: str) -> list[Exam]:
    """`clips` held-out clips with about GRID**2 points all over the frame.

    Rendered, or decoded by the VAE (a blur stands in if vae is None).
    """
    decoder, exams = load_decoder(vae, device), []
    generator = torch.Generator(device).manual_seed(derive_seed(0, HELD_OUT))
    for start in range(0, clips, BATCH):
        seed, count = derive_seed(0, HELD_OUT, str(start)), min(BATCH, clips - start)
        data = world.sample(count, seed=seed, device=device, points=OVERSAMPLE * GRID**2)
        frames = decode_clips(data.frames, decoder, generator) if decoded else data.frames
        pixels = (frames.permute(0, 1, 3, 4, 2) * 255).round().clamp(0, 255).byte().cpu().numpy()
        truth = [x.cpu().numpy() for x in (data.points.float(), data.visible, data.background)]
        for i in range(count):
            kept = one_per_cell(truth[0][i, :, 0], pixels.shape[2:4], GRID)
            exams.append(Exam(Clip(pixels[i], world.fps), *(x[i][kept] for x in truth)))
    return exams


def one_per_cell(queries: NDArray[np.float32], shape: tuple[int, int], per_side: int) -> NDArray[np.intp]:
    """Indices of the queries (N, 2) nearest to the centers of a per_side x per_side tiling's cells.

    A world draws more points on objects; one from each cell makes a full-frame grid of them. A cell without a point is
    left out. shape: height and width of the frame in pixels.
    """
    scale = per_side / np.array([shape[1], shape[0]], dtype=np.float32)
    place = (queries + 0.5) * scale
    cell = np.clip(np.floor(place), 0, per_side - 1)
    order = np.argsort(np.linalg.norm(place - cell - 0.5, axis=-1), kind="stable")
    number = (cell[:, 1] * per_side + cell[:, 0]).astype(int)[order]
    return np.sort(order[np.unique(number, return_index=True)[1]])


def _ranges(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest distance from the first position of tracks (N, T, 2), smoothed over three frames: (N,) pixels."""
    padded = np.pad(points, ((0, 0), (1, 1), (0, 0)), mode="edge")
    smooth = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return np.asarray(np.linalg.norm(smooth - points[:, :1], axis=-1).max(axis=1))


def grade(exam: Exam, found: Tracks) -> dict[str, float]:
    """Shares for one clip; a key is absent where the clip has no such point. The first frame, which is given, does
    not count.

    within_K: of visible points within K pixels at 256x256; position: their mean over THRESHOLDS; visibility: right
    answers; false_moving: of true background points that never move in truth, those reported as moving;
    missed_moving: of points that move, those not.
    """
    seen = exam.visible[:, 1:]
    enlarged = np.array([256 / exam.clip.width, 256 / exam.clip.height])
    errors = np.linalg.norm((found.points - exam.points)[:, 1:] * enlarged, axis=-1)
    out: dict[str, float] = {"visibility": float((found.visible[:, 1:] == seen).mean())}
    if seen.any():
        out |= {f"within_{k}": float((errors[seen] <= k).mean()) for k in THRESHOLDS}
        out["position"] = float(np.mean([out[f"within_{k}"] for k in THRESHOLDS]))
        out["median_error"] = float(np.median(errors[seen]))
    on_object = seen & ~exam.background[:, None]
    if on_object.any():
        out["position_on_objects"] = float(np.mean([(errors[on_object] <= k).mean() for k in THRESHOLDS]))
    limit = MOVING * float(np.hypot(exam.clip.height, exam.clip.width))
    still = exam.background & (np.abs(exam.points - exam.points[:, :1]).max(axis=(1, 2)) < 0.01)
    moves = (_ranges(exam.points) > 2 * limit) & (exam.visible.mean(axis=1) >= 0.5)
    if still.any():
        out["false_moving"] = float((_ranges(found.points[still]) > limit).mean())
    if moves.any():
        out["missed_moving"] = float((_ranges(found.points[moves]) <= limit).mean())
    return out


def evaluate_tracker(tracker: Tracker, exams: Sequence[Exam]) -> dict[str, float]:
    """Mean over clips of each share of `grade`, and the number of clips with a still background."""
    grades = [grade(exam, tracker.track(exam.clip, exam.points[:, 0].copy())) for exam in exams]
    keys = sorted({key for g in grades for key in g})
    means = {key: float(np.mean([g[key] for g in grades if key in g])) for key in keys}
    return {key: round(value, 4) for key, value in means.items()} | {
        "static_clips": sum("false_moving" in g for g in grades)
    }


def seconds_per_clip(folder: Path, clip: Clip) -> dict[str, float]:
    """What a clip with GRID**2 queries costs on the CPU, of six after one to warm up.

    cpu_seconds_per_clip: median CPU time in one thread, where what else runs does not count.
    seconds_per_clip_on_two_cores: least time by the clock with two threads; only an idle machine tells it truly.
    """
    tracker, queries, found = TinyTracker.from_folder(folder, "cpu"), grid_queries(clip.height, clip.width, GRID), {}
    for count in (1, 2):
        with cpu_threads(count):
            found[count] = np.array([_seconds(tracker, clip, queries) for _ in range(7)][1:])
    return {
        "cpu_seconds_per_clip": round(float(np.median(found[1][:, 1])), 3),
        "seconds_per_clip_on_two_cores": round(float(found[2][:, 0].min()), 3),
    }


def _seconds(tracker: Tracker, clip: Clip, queries: NDArray[np.float32]) -> tuple[float, float]:
    """Time by the clock and CPU time of all threads of one clip."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    tracker.track(clip, queries)
    return time.perf_counter() - begun, time.process_time() - begun_cpu


def retime_folder(folder: Path, world: World) -> dict[str, Any]:
    """Measure anew only what a clip costs; metrics.json keeps the rest, the card is written from it."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    clip = make_exams(world, 1, vae=None, decoded=False, device="cpu")[0].clip
    return _write(folder, metrics | seconds_per_clip(folder, clip))


def _write(folder: Path, metrics: dict[str, Any]) -> dict[str, Any]:
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (folder / "README.md").write_text(render_card(metrics))
    return metrics


def _rivals() -> dict[str, Tracker]:
    try:
        return {"lk": load("trackers", "lk").create("cpu")}
    except (PluginError, UnknownNameError) as error:
        logger.warning("no lk in the table: %s", error)
        return {}


def evaluate_folder(
    folder: Path, world: World, *, vae: Path | None, clips: int, device: str, training: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Measure the tracker saved in `folder` and `lk`; write metrics.json and the model card README.md beside the
    weights.

    training: what the training script knows; None keeps what an earlier metrics.json says.
    """
    path = folder / "metrics.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    trackers: dict[str, Tracker] = {"tiny": TinyTracker.from_folder(folder, device), **_rivals()}
    table: dict[str, Any] = {}
    for kind in ("decoded", "rendered"):
        exams = make_exams(world, clips, vae=vae, decoded=kind == "decoded", device=device)
        table[kind] = {name: evaluate_tracker(tracker, exams) for name, tracker in trackers.items()}
        logger.info("%s: %s", kind, json.dumps(table[kind]))
    metrics = {
        "tracker": "tiny",
        "version": TinyTracker.version,
        "parameters": sum(p.numel() for p in load_tracker(folder, "cpu").parameters()),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "clips": clips,
        "queries": GRID**2,
        "decoder": "vae" if vae is not None else "blur",
        **seconds_per_clip(folder, exams[0].clip),
        "table": table,
        "training": training if training is not None else before.get("training", {}),
    }
    return _write(folder, metrics)


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate saved weights; see `evaluate_folder`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=FOLDER)
    parser.add_argument(
        "--vae", type=Path, default=None, help="folder of an AutoencoderKLWan; without it a blur stands in"
    )
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--world", default="procedural")
    parser.add_argument("--only-seconds", action="store_true", help="measure anew only what a clip costs on the CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    world = load("worlds", arguments.world)()
    if arguments.only_seconds:
        retime_folder(arguments.weights, world)
        return
    evaluate_folder(arguments.weights, world, vae=arguments.vae, clips=arguments.clips, device=arguments.device)


if __name__ == "__main__":
    main()
