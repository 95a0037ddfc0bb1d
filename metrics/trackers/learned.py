"""A tracker that is a learned network: its weights, its portions of work, its way from a clip to tracks and back."""

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
from motionbench.typed_json import to_object

from ..threads import Workers, workers
from .following import follow, follow_in_windows, inside_frame
from .frame_features import TrackerConfig
from .frame_memory import FrameMemory
from .tiny_scene import ScenePath
from .tracker_blocks import KeysValues
from .tracker_net import Prediction, TrackerNet

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
CHUNK = 80  # queries followed at once, whatever the number of cores: same digits everywhere, and fit for the cache
ACCELERATOR_CHUNK = 1024  # the same elsewhere than on the CPU: bounds memory at about 0.3 GB for 17 frames
CONTEXT = 16  # frames of the window before that a window of a long clip shows too


def save_tracker(model: TrackerNet, folder: Path) -> None:
    """Write config.json and model.safetensors (fp16) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(half, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner only
    (folder / "config.json").write_text(json.dumps(asdict(model.config), indent=2) + "\n")


def load_tracker(folder: Path, device: str, trained_by: str = "its training script") -> TrackerNet:
    """The network saved in `folder`, in float32 on `device`, for inference. Raises MissingWeightsError if absent or
    of another shape."""
    mend = f"reinstall the package, or train it with python -m {trained_by} --out DIR"
    try:
        model = TrackerNet(to_object(TrackerConfig, json.loads((folder / "config.json").read_text())))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise MissingWeightsError(f"no usable tracker in {folder}: {error}; {mend}") from error
    return model.to(device).eval().requires_grad_(False)


def resize_frames(frames: NDArray[np.uint8], height: int, width: int) -> torch.Tensor:
    """Frames (T, H, W, 3) as (T, 3, height, width) float32 in [0, 1], stretched with antialiasing.

    Frame by frame: of large ones only one is held as numbers of four bytes.
    """
    resized = torch.empty(len(frames), 3, height, width)
    for frame, into in zip(frames, resized, strict=True):
        x = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).float() / 255
        if x.shape[-2:] != (height, width):
            x = F.interpolate(x[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0].clamp(
                0, 1
            )
        into.copy_(x)
    return resized


class SharedKeys:
    """The support points' keys and values of each round: their own portion of work writes them, all others wait."""

    def __init__(self, rounds: int) -> None:
        self._keys_values: list[Future[KeysValues]] = [Future() for _ in range(rounds)]

    def write(self, number: int, keys_values: KeysValues) -> KeysValues:
        self._keys_values[number].set_result(keys_values)
        return keys_values

    def read(self, number: int, _: torch.Tensor) -> KeysValues:
        return self._keys_values[number].result()

    def give_up(self, error: BaseException) -> None:
        """Fail whoever waits for what will not be written."""
        for keys_values in self._keys_values:
            if not keys_values.done():
                keys_values.set_exception(error)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What every query's track rests on, once per clip: features of the frames, keys and values of the support points,
    the scene's motion where the tracker makes use of it."""

    levels: list[torch.Tensor]
    shared_keys: SharedKeys
    scene: Future[ScenePath | None]

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of the frames, in cells of the network."""
        return self.levels[0].shape[2], self.levels[0].shape[3]


class LearnedTracker:
    """A network with an occlusion answer that follows points of the first frame through a clip of any length and size.

    A point's track does not depend on which other points are asked for. Queries go in portions and long clips in
    windows, so memory is bounded. Positions of hidden points are a guess; `visible` says which they are. A subclass
    names itself, its version and its folder of weights; it may say how large it sees a clip, and settle the
    network's answer.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    folder: ClassVar[Path]
    trained_by: ClassVar[str]
    longest: ClassVar[int] = 240  # frames: longer clips go in windows

    def __init__(self, model: TrackerNet, device: str) -> None:
        self.model, self.device = model, device
        self._memory = FrameMemory(self._describe)

    @classmethod
    def create(cls, device: str) -> Self:
        """The tracker with the shipped weights. Raises MissingWeightsError if they are not there."""
        return cls.from_folder(cls.folder, device)

    @classmethod
    def from_folder(cls, folder: Path, device: str) -> Self:
        """The tracker with the weights in `folder`."""
        return cls(load_tracker(folder, device, cls.trained_by), device)

    @torch.inference_mode()
    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks of `queries` (N, 2), x then y in pixels of the clip's first frame; N may be 0. They end at a hard cut
        (see `follow`). Raises ShapeError for another shape."""
        with workers(self.device) as team:
            return follow(clip, queries, partial(self._track, team))

    def _track(self, team: Workers, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        if len(clip) > self.longest:
            return follow_in_windows(clip, queries, partial(self._track, team), frames=self.longest, context=CONTEXT)
        height, width = self.cells(clip.height, clip.width)
        scale = np.array([width / clip.width, height / clip.height], dtype=np.float32)
        small = torch.from_numpy((queries.astype(np.float32) + 0.5) * scale - 0.5)
        around = self._survey(self._memory.levels(clip.frames, team), team)
        chunk = CHUNK if self.device == "cpu" else ACCELERATOR_CHUNK
        parts = team.map(partial(self._follow, around), small.split(chunk))
        points = (np.concatenate([p for p, _ in parts]) + 0.5) / scale - 0.5
        return Tracks(points.astype(np.float32), np.concatenate([v for _, v in parts]), clip.height, clip.width)

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, in cells of the network, at which it sees a clip of so many pixels: a square."""
        return self.model.config.size, self.model.config.size

    def _describe(self, frames: NDArray[np.uint8]) -> list[torch.Tensor]:
        """Features of frames (T, H, W, 3) at each stride: (1, T, h, w, C)."""
        stem = self.model.config.stem
        height, width = self.cells(*frames.shape[1:3])
        return self.model.describe(resize_frames(frames, height * stem, width * stem)[None].to(self.device))

    def _survey(self, levels: list[torch.Tensor], team: Workers) -> Surroundings:
        """What is the same for all queries, from the frames' features; the support points may still be on their
        way when it returns."""
        shared_keys = SharedKeys(self.model.config.rounds)
        return Surroundings(levels, shared_keys, team.start(self._follow_support, levels, shared_keys))

    def _follow_support(self, levels: list[torch.Tensor], shared_keys: SharedKeys) -> ScenePath | None:
        """The scene's motion; the support points' keys and values are shared on the way."""
        height, width = levels[0].shape[2:4]
        per_side = self.model.config.support_per_side
        support = torch.from_numpy(grid_queries(height, width, per_side)).to(self.device)

        def write(number: int, tokens: torch.Tensor) -> KeysValues:
            return shared_keys.write(number, self.model.support.keys_values(tokens))

        try:
            prediction = self.model.follow(levels, support[None], write)
        except BaseException as error:
            shared_keys.give_up(error)
            raise
        return self._scene(*_last_answer(prediction, support))

    def _follow(self, around: Surroundings, queries: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Points (N, T, 2) and visible (N, T) of queries (N, 2), all in cells of the network."""
        config = self.model.config
        queries = queries.to(self.device)
        points, sure = _last_answer(self.model.follow(around.levels, queries[None], around.shared_keys.read), queries)
        points, sure = self._settle(around, points, sure)
        visible = (sure > config.visible_threshold) & inside_frame(points, *around.cells)
        visible[:, 0] = True  # a query is a point that is seen in the first frame
        return points, visible

    def _scene(self, points: NDArray[np.float32], sure: NDArray[np.float32]) -> ScenePath | None:
        """The motion that most support points share, from their tracks (N, T, 2) and P(visible and right) (N, T), where
        `_settle` has a use for it."""
        return None

    def _settle(
        self, around: Surroundings, points: NDArray[np.float32], sure: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is made of the network's answer: points (N, T, 2) and P(visible and right) (N, T), both in cells."""
        return points, sure


def _last_answer(prediction: Prediction, starts: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points (N, T, 2) after the last round and P(visible and right) (N, T), of one clip, as they start at (N, 2)."""
    sure = torch.sigmoid(prediction.visible[-1, 0]) * torch.sigmoid(-prediction.uncertain[-1, 0])
    points = prediction.points[-1, 0].cpu().numpy()
    points[:, 0] = starts.cpu().numpy()
    return points, sure.cpu().numpy()
