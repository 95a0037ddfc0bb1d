"""CoTracker3 through torch.hub: its code and weights (CC BY-NC 4.0) are the user's to fetch and never shipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError
from motionbench.files import file_sha256
from motionbench.tracks import Tracks

from ..threads import one_thread
from .downloads import UNREADABLE
from .following import follow

REVISION = "82e02e8029753ad4ef13cf06be7f4fc5facdda4d"
REPOSITORY = f"facebookresearch/co-tracker:{REVISION}"
CHECKPOINT = "scaled_offline.pth"
CHECKPOINT_SHA256 = "2670d4562ed69326dda775a26e54883925cd11b6fc9b24cb7aa9f8078bce7834"
FOLDER_VARIABLE = "MOTIONBENCH_COTRACKER"  # a local copy of the repository
WINDOW = 60  # frames: what the offline model was trained for; longer clips go window by window
POINTS = 1024  # queries at a time: memory grows with frames x points
FETCH = "motionbench prefetch cotracker3"


def load_predictor(device: str) -> Any:
    """The offline predictor, from a local copy of the repository or from torch.hub's cache, at the pinned revision.

    The repository: the folder in $MOTIONBENCH_COTRACKER, else torch.hub (fetched if there is a network). The weights:
    `scaled_offline.pth` in that folder's `checkpoints`, else in $TORCH_HOME/hub/checkpoints; their hash is checked
    unless a folder was named. Raises MissingWeightsError with the command that gets both.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    checkpoint = Path(folder, "checkpoints", CHECKPOINT) if folder else Path()
    if not checkpoint.is_file():
        checkpoint = Path(torch.hub.get_dir(), "checkpoints", CHECKPOINT)
    present = checkpoint.is_file()
    if present and not folder and file_sha256(checkpoint) != CHECKPOINT_SHA256:
        raise MissingWeightsError(f"{checkpoint} is not the file that CoTracker3 published; delete it and run: {FETCH}")
    where, source = (folder, "local") if folder else (REPOSITORY, "github")
    try:
        predictor = torch.hub.load(where, "cotracker3_offline", source=source, pretrained=not present, trust_repo=True)
        if present:
            predictor.model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except (ImportError, *UNREADABLE) as error:
        raise MissingWeightsError(
            f"CoTracker3 is not here and cannot be fetched ({error}); with network run: {FETCH} (which gets "
            f"{REPOSITORY}), or set ${FOLDER_VARIABLE} to a copy of the repository with checkpoints/{CHECKPOINT} in it"
        ) from error
    return predictor.to(device).eval()


class CoTracker3:
    """CoTracker3 offline (Karaev et al., arXiv:2410.11831), pinned; non-commercial license, fetched by the user."""

    name: ClassVar[str] = "cotracker3"
    version: ClassVar[int] = 1

    def __init__(self, predictor: Any, device: str) -> None:
        self.predictor, self.device = predictor, device

    @classmethod
    def create(cls, device: str) -> Self:
        """Raises MissingWeightsError with the command that gets code and weights."""
        return cls(load_predictor(device), device)

    @classmethod
    def prefetch(cls) -> str:
        """Fetches code and weights where they are not; says where they lie. Raises MissingWeightsError."""
        cls.create("cpu")
        place = os.environ.get(FOLDER_VARIABLE) or torch.hub.get_dir()
        return f"{place} (CC BY-NC 4.0: not for commercial use)"

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks of `queries` (N, 2), in windows of 60 frames and 1,024 points, so that memory is bounded.

        A later window starts where the one before ended (they share a frame). A point that is hidden there goes on
        from its guessed place, but stays hidden until the window after the next finds it: it cannot be told where it
        is. Tracks end at a hard cut (see `follow`). Raises ShapeError for malformed queries.
        """
        return follow(clip, queries, self._track)

    def _track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        count, frames = len(queries), len(clip)
        points = np.repeat(queries.astype(np.float32)[:, None], frames, axis=1)
        visible = np.ones((count, frames), bool)
        start = 0
        while start < frames - 1:
            stop = min(start + WINDOW, frames)
            tracked, seen = self._window(clip.frames[start:stop], points[:, start])
            points[:, start + 1 : stop] = tracked[:, 1:]
            visible[:, start + 1 : stop] = seen[:, 1:] & visible[:, start : start + 1]
            start = stop - 1
        return Tracks(points, visible, clip.height, clip.width)

    @torch.inference_mode()
    def _window(
        self, frames: NDArray[np.uint8], start: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)[None].float().to(self.device)
        tracked, seen = [], []
        for i in range(0, len(start), POINTS):
            xy = torch.from_numpy(np.array(start[i : i + POINTS])).to(self.device)
            queries = torch.cat([torch.zeros_like(xy[:, :1]), xy], dim=1)[None]
            with one_thread(self.device):
                tracks, visible = self.predictor(video, queries=queries)
            tracked.append(tracks[0].transpose(0, 1).float().cpu().numpy())
            seen.append(visible[0].transpose(0, 1).bool().cpu().numpy())
        return np.concatenate(tracked), np.concatenate(seen)
