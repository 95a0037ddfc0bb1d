"""Clips of known motion that no tracker was trained on, and how well a tracker follows them.

A picture moves as a plane before a camera (homographies on smooth paths), perhaps with a thing on a path of its own and
a bar that passes before both; written as H.264 and read back. Pictures and things are drawn with seeds that training
never uses, or come from a folder of one's own photographs. The development set: what helps is kept by it.

python -m training.real_tracker.known_motion --tracker real --tracker tiny --tracker lk [--pictures DIR] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from motionbench.metrics import track_matching
from motionbench.metrics.motion_fidelity import motion_fidelity
from motionbench.metrics.tapvid.measuring import figures
from motionbench.metrics.trackers.following import inside_frame
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from motionbench.clip import Clip
from motionbench.registry import load
from motionbench.tracks import Tracks, grid_queries

from .pictures import make_picture
from .sprites import make_sprite

Floats = NDArray[np.float64]
HELD_OUT = 2_000_000_000  # seeds of pictures from here on are never trained on
KINDS = ("camera", "thing", "covered")
PLAN = tuple(
    (frames, height, width, kind, speed)
    for height, width in ((256, 256), (480, 832))
    for frames, speed in ((24, 0.1), (24, 0.25), (60, 0.2))
    for kind in KINDS
)
GRID = 20


@dataclass(frozen=True, eq=False)
class KnownClip:
    """A clip, its true tracks from a grid on the first frame, and which of them lie on the thing (N,)."""

    clip: Clip
    tracks: Tracks
    on_thing: NDArray[np.bool_]


def smooth(rng: np.random.Generator, frames: int) -> Floats:
    """(frames,) a smooth path from 0 whose farthest point lies at 1 or -1."""
    knots = np.r_[0, np.cumsum(rng.normal(size=4))]
    path = CubicSpline(np.linspace(0, frames - 1, 5), knots)(np.arange(frames))
    return np.asarray(path / max(float(np.abs(path).max()), 1e-6))


def camera_path(
    rng: np.random.Generator, source: tuple[int, int], frame: tuple[int, int], frames: int, speed: float
) -> Floats:
    """Homographies (frames, 3, 3) from pixels of the picture to pixels of the frame."""
    (big_height, big_width), (height, width) = source, frame
    across = smooth(rng, frames) * min(speed * width, (big_width - width) * 0.4)
    down = smooth(rng, frames) * min(speed * width / 2, (big_height - height) * 0.4)
    zoom, roll = smooth(rng, frames) * rng.uniform(0.05, 0.25), smooth(rng, frames) * np.deg2rad(rng.uniform(2, 12))
    tilt = np.stack([smooth(rng, frames), smooth(rng, frames)]) * 0.05 / width
    view = _turned(across, down, zoom, roll)
    view[:, 2, :2] = tilt.T
    center, back = np.eye(3), np.eye(3)
    center[:2, 2], back[:2, 2] = [(width - 1) / 2, (height - 1) / 2], [-big_width / 2, -big_height / 2]
    return np.asarray(center @ view @ back)


def thing_path(rng: np.random.Generator, side: int, frame: tuple[int, int], frames: int, speed: float) -> Floats:
    """Similarities (frames, 3, 3) from pixels of the thing's picture to pixels of the frame."""
    height, width = frame
    x = width * rng.uniform(0.35, 0.65) + smooth(rng, frames) * width * speed
    y = height * rng.uniform(0.4, 0.6) + smooth(rng, frames) * height * 0.2
    size = np.log(rng.uniform(0.35, 0.6) * min(height, width) / side) + smooth(rng, frames) * 0.25
    back = np.eye(3)
    back[:2, 2] = -side / 2
    return np.asarray(_turned(x, y, size, smooth(rng, frames) * np.deg2rad(25)) @ back)


def _turned(x: Floats, y: Floats, log_size: Floats, angle: Floats) -> Floats:
    matrix = np.zeros((len(x), 3, 3))
    cosine, sine = np.exp(log_size) * np.cos(angle), np.exp(log_size) * np.sin(angle)
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2] = cosine, -sine, x
    matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] = sine, cosine, y
    matrix[:, 2, 2] = 1
    return matrix


def warp(matrix: Floats, points: Floats) -> Floats:
    """Points (N, 2) through a homography (3, 3)."""
    moved = np.c_[points, np.ones(len(points))] @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:])


def make_clip(seed: int, plan: tuple[int, int, int, str, float], pictures: Sequence[Path] = ()) -> KnownClip:
    """The clip of a seed by an entry of PLAN; `pictures` take the place of drawn backgrounds."""
    frames, height, width, kind, speed = plan
    rng = np.random.default_rng(seed)
    picture = _read(pictures[rng.integers(len(pictures))]) if pictures else make_picture(HELD_OUT + seed)
    scale = max(height / (0.62 * picture.shape[0]), width / (0.62 * picture.shape[1]))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    source = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=way)
    views = camera_path(rng, source.shape[:2], (height, width), frames, speed)
    sprite = make_sprite(HELD_OUT + seed) if kind != "camera" else np.zeros((4, 4, 4), np.uint8)
    moves = thing_path(rng, len(sprite), (height, width), frames, speed)
    bar = np.linspace(-0.2, 1.1, frames) * width if kind == "covered" else np.full(frames, -2.0 * width)
    wide = int(0.14 * width)
    shown, alphas = [], []
    for view, move, left in zip(views, moves, bar, strict=True):
        frame = cv2.warpPerspective(
            source, view, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        over = cv2.warpPerspective(sprite, move, (width, height), flags=cv2.INTER_LINEAR)
        alpha = over[..., 3:].astype(np.float32) / 255
        frame = (frame * (1 - alpha) + over[..., :3] * alpha).astype(np.uint8)
        frame[:, max(0, int(left)) : max(0, int(left) + wide)] = picture[0, 0]
        shown.append(frame)
        alphas.append(alpha[..., 0] > 0.5)
    return _with_truth(np.stack(shown), np.stack(alphas), views, moves, (bar, wide))


def _with_truth(
    frames: NDArray[np.uint8], thing: NDArray[np.bool_], views: Floats, moves: Floats, bar: tuple[Floats, int]
) -> KnownClip:
    """The clip with true tracks of a grid on its first frame."""
    height, width = frames.shape[1:3]
    queries = grid_queries(height, width, GRID).astype(np.float64)
    on_thing = _at(thing[0], queries)
    ground, body = warp(np.linalg.inv(views[0]), queries), warp(np.linalg.inv(moves[0]), queries)
    points, visible = [], []
    for view, move, covers, left in zip(views, moves, thing, bar[0], strict=True):
        place = np.where(on_thing[:, None], warp(move, body), warp(view, ground))
        inside = inside_frame(place, height, width)
        behind = (place[:, 0] >= left - 0.5) & (place[:, 0] < left + bar[1] + 0.5)
        visible.append(inside & ~behind & (on_thing | ~_at(covers, place)))
        points.append(place)
    tracks = Tracks(np.stack(points, 1).astype(np.float32), np.stack(visible, 1), height, width)
    return KnownClip(_through_a_file(Clip(frames, 16.0)), tracks, on_thing)


def _at(mask: NDArray[np.bool_], points: Floats) -> NDArray[np.bool_]:
    place = np.clip(np.round(points).astype(int), 0, [mask.shape[1] - 1, mask.shape[0] - 1])
    return np.asarray(mask[place[:, 1], place[:, 0]])


def _through_a_file(clip: Clip) -> Clip:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        clip.write(file, crf=23)
        return Clip.read(file)


def _read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path} is no picture that can be read; give a folder of JPEG or PNG files")
    return np.ascontiguousarray(image[..., ::-1])


def measure(known: KnownClip, found: Tracks) -> dict[str, float | None]:
    """delta_avg, OA and AJ at 256x256 as in TAP-Vid, delta_avg of points on the thing, and the headline metric between
    the found and the true tracks."""
    true = known.tracks
    errors = (found.points - true.points).astype(np.float64) * [256 / true.width, 256 / true.height]

    def table(chosen: NDArray[np.bool_]) -> dict[str, float | None]:
        counted = chosen[:, None] & (np.arange(true.points.shape[1]) > 0)
        return figures(errors, found.visible, true.visible, counted)

    began = true.visible[:, 0]  # the others are behind the bar, where nobody can ask for them
    whole, thing = table(began), table(began & known.on_thing)["delta_avg"]
    value, _ = motion_fidelity(track_matching.tracks_to_motion(found), track_matching.tracks_to_motion(true))
    return {
        "delta_avg": whole["delta_avg"],
        "OA": whole["occlusion_accuracy"],
        "AJ": whole["average_jaccard"],
        "thing": thing,
        "fidelity": value,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure trackers; a line a clip and tracker, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", action="append", required=True, help="an installed tracker; repeatable")
    parser.add_argument("--pictures", type=Path, help="folder of photographs for the backgrounds; default: drawn ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=len(PLAN), help="clips")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for all figures")
    a = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    trackers = {name: load("trackers", name).create(a.device) for name in a.tracker}
    pictures = sorted(p for p in a.pictures.iterdir() if p.suffix in (".jpg", ".png")) if a.pictures else []
    rows = []
    for number, plan in enumerate(PLAN[: a.limit]):
        known = make_clip(a.seed + number, plan, pictures)
        for name, tracker in trackers.items():
            begun = time.perf_counter()
            found = tracker.track(known.clip, known.tracks.points[:, 0].copy())
            row = {"clip": number, "tracker": name, "seconds": time.perf_counter() - begun, **measure(known, found)}
            rows.append(row)
            logging.info("%s %s", " ".join(map(str, plan)), _to_text(row))
    for name in trackers:
        mine = [row for row in rows if row["tracker"] == name]
        means = {
            key: float(np.mean([row[key] for row in mine if row[key] is not None]))
            for key in mine[0]
            if key not in ("clip", "tracker")
        }
        logging.info(
            "mean %s worst fidelity %.3f", _to_text({"tracker": name, **means}), min(row["fidelity"] for row in mine)
        )
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")


def _to_text(row: dict[str, object]) -> str:
    keys = ("delta_avg", "OA", "AJ", "thing", "fidelity", "seconds")
    return f"{row['tracker']} " + " ".join(f"{key} {row[key]:.3f}" for key in keys if row.get(key) is not None)


if __name__ == "__main__":
    main()
