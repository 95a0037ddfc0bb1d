"""The embedded default tracker: a small network learned from the procedural world's exact tracks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError, ShapeError
from motionbench.tracks import Tracks, grid_queries

from ..threads import one_thread
from .tiny_model import TinyTrackerConfig, TinyTrackerNet, read_at, square_offsets
from .tiny_scene import AGREE, fit_scene, inside_frame, put_on_scene

FOLDER = Path(__file__).resolve().parent.parent / "weights" / "tiny_tracker"
CHUNK = 1024  # queries followed at once: bounds memory at about 0.3 GB for 17 frames
MATCH_RADIUS = 2  # px, half side of the patch that tells whether the scene is seen at a place


def save_tracker(model: TinyTrackerNet, folder: Path) -> None:
    """Write config.json and model.safetensors (fp16) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(half, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner only
    (folder / "config.json").write_text(json.dumps(asdict(model.config), indent=2) + "\n")


def load_tracker(folder: Path, device: str) -> TinyTrackerNet:
    """The network saved in `folder`, in float32 on `device`, for inference. Raises MissingWeightsError if absent or
    of another shape."""
    mend = "train it with python -m motionbench.metrics.trackers.train_tiny --out DIR, or reinstall the package"
    try:
        fields = json.loads((folder / "config.json").read_text())
        fields["stage_widths"] = tuple(fields["stage_widths"])
        model = TinyTrackerNet(TinyTrackerConfig(**fields))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise MissingWeightsError(f"no usable tiny tracker in {folder}: {error}; {mend}") from error
    return model.to(device).eval().requires_grad_(False)


def frames_to_square(frames: NDArray[np.uint8], size: int) -> torch.Tensor:
    """Frames (T, H, W, 3) as (T, 3, size, size) float32 in [0, 1], stretched to a square with antialiasing as
    CoTracker stretches its input."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


class TinyTracker:
    """Small learned point tracker for the embedded world (64x64, any number of frames), with occlusion.

    Larger clips are stretched to 64x64 and the tracks scaled back, so accuracy is a fraction of the frame, not of a
    pixel: use `cotracker3` or `tapir` for real footage. A point's track does not depend on which other points are
    asked for. Memory grows with T, so queries go in portions. Positions of hidden points are a guess; `visible` says
    which they are. Since version 2 points of the scene move exactly with the scene (see `tiny_scene`).
    """

    name: ClassVar[str] = "tiny"
    version: ClassVar[int] = 3

    def __init__(self, model: TinyTrackerNet, device: str) -> None:
        self.model, self.device = model, device

    @classmethod
    def create(cls, device: str) -> Self:
        """The tracker with the shipped weights. Raises MissingWeightsError if they are not there."""
        return cls(load_tracker(FOLDER, device), device)

    @classmethod
    def from_folder(cls, folder: Path, device: str) -> Self:
        """The tracker with the weights in `folder`."""
        return cls(load_tracker(folder, device), device)

    @torch.inference_mode()
    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks of `queries` (N, 2), x then y in pixels of the clip's first frame; N may be 0. Raises ShapeError for
        another shape."""
        if queries.ndim != 2 or queries.shape[1] != 2:
            raise ShapeError(f"queries must be (N, 2), got {queries.shape}")
        with one_thread(self.device):
            return self._track(clip, queries)

    def _track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        size = self.model.config.size
        scale = np.array([size / clip.width, size / clip.height], dtype=np.float32)
        small = torch.from_numpy((queries.astype(np.float32) + 0.5) * scale - 0.5)
        frames = frames_to_square(clip.frames, size)[None].to(self.device)
        levels = self.model.describe(frames)
        parts = [self._follow(frames, levels, q.to(self.device)) for q in small.split(CHUNK)] if len(small) else []
        if not parts:
            shape = (0, len(clip))
            return Tracks(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.bool_), clip.height, clip.width)
        points = (np.concatenate([p for p, _ in parts]) + 0.5) / scale - 0.5
        points[:, 0] = queries  # the query is where it was asked, to the last bit
        return Tracks(points.astype(np.float32), np.concatenate([v for _, v in parts]), clip.height, clip.width)

    def _follow(
        self, frames: torch.Tensor, levels: list[torch.Tensor], queries: torch.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Points (N, T, 2) and visible (N, T) of queries (N, 2), all at the network's size."""
        config = self.model.config
        support = torch.from_numpy(grid_queries(config.size, config.size, config.support_per_side)).to(queries)
        starts = torch.cat([support, queries])
        found = self.model(frames, starts[None], len(support), levels)
        sure = (torch.sigmoid(found.visible[-1, 0]) * torch.sigmoid(-found.uncertain[-1, 0])).cpu().numpy()
        points = found.points[-1, 0].cpu().numpy()
        points[:, 0] = starts.cpu().numpy()
        scene = fit_scene(points[: len(support)], sure[: len(support)], config.size)
        points, sure = points[len(support) :], sure[len(support) :]
        if scene.agree >= AGREE:

            def match(where: NDArray[np.floating], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
                return self._match(levels[0][0], where[chosen])

            points, sure = put_on_scene(points, sure, scene.places(points[:, 0]), match, config.size)
        visible = (sure > config.visible_threshold) & inside_frame(points, config.size)
        visible[:, 0] = True  # a query is a point that is seen in the first frame
        return points, visible

    def _match(self, features: torch.Tensor, places: NDArray[np.floating]) -> NDArray[np.float32]:
        """Mean correlation (N, T) of the 5x5 pixels around places (N, T, 2) with those around the first of them."""
        around = square_offsets(MATCH_RADIUS, features.device)
        grid = torch.from_numpy(places).to(around).transpose(0, 1)[:, :, None] + around  # (T, N, 25, 2)
        there = read_at(features, grid, self.model.config.size)  # (T, C, N, 25)
        return (there * there[:1]).sum(dim=1).mean(dim=-1).T.cpu().numpy()
