"""The embedded default tracker: a small network learned from the procedural world's exact tracks."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError
from motionbench.tracks import Tracks, grid_queries

from ..threads import Workers, workers
from .following import follow, follow_in_windows
from .tiny_model import Prediction, Said, TinyTrackerConfig, TinyTrackerNet
from .tiny_reading import read_features
from .tiny_scene import AGREE, ScenePath, fit_scene, inside_frame, put_on_scene

FOLDER = Path(__file__).resolve().parent.parent / "weights" / "tiny_tracker"
CHUNK = 80  # queries followed at once, whatever the number of cores: same digits everywhere, and fit for the cache
ACCELERATOR_CHUNK = 1024  # the same elsewhere than on the CPU: bounds memory at about 0.3 GB for 17 frames
FRAMES = 3  # described at once
LONGEST, CONTEXT = 240, 16  # frames: longer clips go in windows, each with so many frames of the one before
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
    CoTracker stretches its input. Frame by frame: of large ones only one is held as numbers of four bytes."""
    found = torch.empty(len(frames), 3, size, size)
    for frame, into in zip(frames, found, strict=True):
        x = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).float() / 255
        if x.shape[-2:] != (size, size):
            wanted = (size, size)
            x = F.interpolate(x[None], wanted, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
        into.copy_(x)
    return found


class Board:
    """What the support points say in each round: their own portion of work writes it, all others wait and read."""

    def __init__(self, rounds: int) -> None:
        self._said: list[Future[Said]] = [Future() for _ in range(rounds)]

    def write(self, number: int, said: Said) -> Said:
        self._said[number].set_result(said)
        return said

    def read(self, number: int, _: torch.Tensor) -> Said:
        return self._said[number].result()

    def give_up(self, error: BaseException) -> None:
        """Fail whoever waits for what will not be written."""
        for said in self._said:
            if not said.done():
                said.set_exception(error)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What every query's track rests on, once per clip: features of the frames, the support points' words, the scene's
    motion."""

    levels: list[torch.Tensor]
    board: Board
    scene: Future[ScenePath]


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
        """Tracks of `queries` (N, 2), x then y in pixels of the clip's first frame; N may be 0. They end at a hard cut
        (see `follow`). Raises ShapeError for another shape."""
        with workers(self.device) as team:
            return follow(clip, queries, partial(self._track, team))

    def _track(self, team: Workers, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        if len(clip) > LONGEST:
            return follow_in_windows(clip, queries, partial(self._track, team), frames=LONGEST, context=CONTEXT)
        size = self.model.config.size
        scale = np.array([size / clip.width, size / clip.height], dtype=np.float32)
        small = torch.from_numpy((queries.astype(np.float32) + 0.5) * scale - 0.5)
        around = self._survey(frames_to_square(clip.frames, size), team)
        chunk = CHUNK if self.device == "cpu" else ACCELERATOR_CHUNK
        parts = team.map(partial(self._follow, around), small.split(chunk))
        points = (np.concatenate([p for p, _ in parts]) + 0.5) / scale - 0.5
        return Tracks(points.astype(np.float32), np.concatenate([v for _, v in parts]), clip.height, clip.width)

    def _survey(self, frames: torch.Tensor, team: Workers) -> Surroundings:
        """What is the same for all queries, from frames (T, 3, size, size); the support points may still be on their
        way when it returns."""
        parts = team.map(lambda part: self.model.describe(part[None].to(self.device)), frames.split(FRAMES))
        levels = [torch.cat(level, dim=1) for level in zip(*parts, strict=True)]
        board = Board(self.model.config.rounds)
        return Surroundings(levels, board, team.start(self._follow_support, levels, board))

    def _follow_support(self, levels: list[torch.Tensor], board: Board) -> ScenePath:
        """The scene's motion; what the support points say on the way is written on the board."""
        config = self.model.config
        support = torch.from_numpy(grid_queries(config.size, config.size, config.support_per_side)).to(self.device)

        def tell(number: int, tokens: torch.Tensor) -> Said:
            return board.write(number, self.model.support.say(tokens))

        try:
            found = self.model.follow(levels, support[None], tell)
        except BaseException as error:
            board.give_up(error)
            raise
        return fit_scene(*_last_answer(found, support), config.size)

    def _follow(self, around: Surroundings, queries: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Points (N, T, 2) and visible (N, T) of queries (N, 2), all at the network's size."""
        config = self.model.config
        queries = queries.to(self.device)
        points, sure = _last_answer(self.model.follow(around.levels, queries[None], around.board.read), queries)
        scene = around.scene.result()
        if scene.agree >= AGREE:

            def match(where: NDArray[np.floating], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
                return self._match(around.levels[0], where[chosen])

            points, sure = put_on_scene(points, sure, scene.places(points[:, 0]), match, config.size)
        visible = (sure > config.visible_threshold) & inside_frame(points, config.size)
        visible[:, 0] = True  # a query is a point that is seen in the first frame
        return points, visible

    def _match(self, features: torch.Tensor, places: NDArray[np.floating]) -> NDArray[np.float32]:
        """Mean correlation (N, T) of the 5x5 pixels around places (N, T, 2) with those around the first of them."""
        where = torch.from_numpy(places).to(features)
        there = read_features(features, where[None], MATCH_RADIUS)[0]  # (N, T, 25, C)
        return torch.einsum("ntqc,nqc->nt", there, there[:, 0]).div(there.shape[2]).cpu().numpy()


def _last_answer(found: Prediction, starts: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points (N, T, 2) after the last round and P(visible and right) (N, T), of one clip, as they start at (N, 2)."""
    sure = torch.sigmoid(found.visible[-1, 0]) * torch.sigmoid(-found.uncertain[-1, 0])
    points = found.points[-1, 0].cpu().numpy()
    points[:, 0] = starts.cpu().numpy()
    return points, sure.cpu().numpy()
