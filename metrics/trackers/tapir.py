"""TAPIR with BootsTAPIR weights, from a copy of google-deepmind/tapnet (both Apache-2.0), fetched by the user."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import MissingExtra, MissingWeightsError
from motionbench.tracks import Tracks

from ..threads import one_thread
from .downloads import UNREADABLE, fetch_file, fetch_source
from .following import follow, follow_in_windows

REVISION = "c2cbab81cc06092b5f05bfe2da7bfec54e2079c9"
SOURCE_URL = f"https://github.com/google-deepmind/tapnet/archive/{REVISION}.zip"
SOURCE_FOLDER = f"google-deepmind_tapnet_{REVISION}"  # in torch.hub's folder, named as torch.hub would
SOURCE_PARTS = ("LICENSE", "tapnet/torch/")  # all that is needed; the rest wants JAX
CHECKPOINT = "bootstapir_checkpoint_v2.pt"
CHECKPOINT_URL = f"https://storage.googleapis.com/dm-tapnet/bootstap/{CHECKPOINT}"
FOLDER_VARIABLE = "MOTIONBENCH_TAPIR"  # a local copy of the repository
FETCH = "motionbench prefetch tapir"
SIDE = 256  # pixels: the model's own resolution, aspect given up as in its TAP-Vid evaluation
WINDOW = 96  # frames at a time, so that memory is bounded
CONTEXT = 8  # frames before a window that help the refinement in time and are dropped
_SURE = 0.5  # P(visible) x P(within reach), the model's published threshold


def load_model(device: str) -> Any:
    """BootsTAPIR with its weights, by the code of a local copy, an installed `tapnet`, or the copy that was fetched.

    The weights: `checkpoints/` of $MOTIONBENCH_TAPIR, else of torch.hub's folder; read as plain tensors, never as
    pickled objects. Downloads nothing. Raises MissingWeightsError or MissingExtra with the command that gets them.
    """
    checkpoint = find_checkpoint()
    model = _model_class()(pyramid_level=1)
    try:
        model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        raise MissingWeightsError(
            f"{checkpoint} holds no BootsTAPIR weights ({error}); delete it and run: {FETCH}"
        ) from error
    return model.to(device).eval()


def find_checkpoint() -> Path:
    """The weights' file. Raises MissingWeightsError with the command that gets it."""
    named = os.environ.get(FOLDER_VARIABLE)
    folders = [Path(named)] if named else []
    for folder in [*folders, Path(torch.hub.get_dir())]:
        if (folder / "checkpoints" / CHECKPOINT).is_file():
            return folder / "checkpoints" / CHECKPOINT
    raise MissingWeightsError(
        f"TAPIR's weights {CHECKPOINT} are not here; with network run: {FETCH}, or set ${FOLDER_VARIABLE} to a copy "
        f"of google-deepmind/tapnet with checkpoints/{CHECKPOINT} (from {CHECKPOINT_URL}) in it"
    )


def _model_class() -> Any:
    """The class TAPIR of `tapnet.torch.tapir_model`."""
    named = os.environ.get(FOLDER_VARIABLE)
    fetched = Path(torch.hub.get_dir()) / SOURCE_FOLDER
    folder = Path(named) if named else fetched
    if (folder / "tapnet" / "torch" / "tapir_model.py").is_file():
        _offer_package(folder / "tapnet")
    elif importlib.util.find_spec("tapnet") is None:
        raise MissingWeightsError(
            f"TAPIR's code is not at {folder}, and no package tapnet is installed; with network run: {FETCH}, or set "
            f"${FOLDER_VARIABLE} to a copy of google-deepmind/tapnet"
        )
    try:
        return importlib.import_module("tapnet.torch.tapir_model").TAPIR
    except ImportError as error:
        raise MissingExtra(f"TAPIR's code needs more ({error}); pip install 'motionbench-transfer[tapir]'") from error


def _offer_package(folder: Path) -> None:
    """Makes `tapnet` importable from a folder without running its `__init__`, which in older copies wants JAX."""
    earlier = sys.modules.get("tapnet")
    if earlier is not None and list(getattr(earlier, "__path__", [])) == [str(folder)]:
        return
    for name in [name for name in sys.modules if name == "tapnet" or name.startswith("tapnet.")]:
        del sys.modules[name]
    package = types.ModuleType("tapnet")
    package.__path__ = [str(folder)]
    sys.modules["tapnet"] = package


class Tapir:
    """TAPIR with BootsTAPIR weights (Doersch et al., arXiv:2306.08637, 2402.00847): Apache-2.0, fetched by the user."""

    name: ClassVar[str] = "tapir"
    version: ClassVar[int] = 1

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.device = model, device

    @classmethod
    def create(cls, device: str) -> Self:
        """Raises MissingWeightsError or MissingExtra with the command that gets what is missing."""
        return cls(load_model(device), device)

    @classmethod
    def prefetch(cls) -> str:
        """Fetches code and weights where they are not; says where they lie. Raises MissingWeightsError."""
        hub = Path(torch.hub.get_dir())
        if not os.environ.get(FOLDER_VARIABLE) and not (hub / SOURCE_FOLDER).is_dir():
            fetch_source(SOURCE_URL, hub / SOURCE_FOLDER, SOURCE_PARTS)
        try:
            checkpoint = find_checkpoint()
        except MissingWeightsError:
            checkpoint = fetch_file(CHECKPOINT_URL, hub / "checkpoints" / CHECKPOINT)
        cls.create("cpu")
        return f"{checkpoint} (Apache-2.0)"

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks of `queries` (N, 2), in windows of 96 frames so that memory is bounded (see `follow_in_windows`).

        They end at a hard cut (see `follow`). Raises ShapeError for malformed queries.
        """
        return follow(clip, queries, self._track)

    def _track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        scale = np.array([SIDE / clip.width, SIDE / clip.height], np.float32)

        def track(window: Clip, asked: NDArray[np.float32]) -> Tracks:
            points, seen = self._window(window.frames, (asked + 0.5) * scale)
            return Tracks(points / scale - 0.5, seen, SIDE, SIDE)

        small = clip.resize(SIDE, SIDE)
        tracks = follow_in_windows(small, queries, track, frames=WINDOW, context=CONTEXT)
        return Tracks(tracks.points, tracks.visible, clip.height, clip.width)

    @torch.inference_mode()
    def _window(
        self, frames: NDArray[np.uint8], start: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Places (N, T, 2), x then y with pixel edges at integers as the model counts, and visibility (N, T)."""
        video = torch.from_numpy(np.ascontiguousarray(frames))[None].float().to(self.device) / 127.5 - 1
        yx = torch.from_numpy(np.ascontiguousarray(start[:, ::-1], dtype=np.float32)).to(self.device)
        queries = torch.cat([torch.zeros_like(yx[:, :1]), yx], dim=1)[None]  # (1, N, 3): frame, y, x
        # The model shuffles its points: always alike here, and with nobody else's dice.
        with one_thread(self.device), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            out = self.model(video, queries)
        hidden, astray = (torch.sigmoid(out[key][0].float()) for key in ("occlusion", "expected_dist"))
        seen = (1 - hidden) * (1 - astray) > _SURE
        return out["tracks"][0].float().cpu().numpy(), seen.cpu().numpy()
