"""The tracker of the embedded world: a small network learned from the procedural world's exact tracks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .learned import WEIGHTS, LearnedTracker, Surroundings
from .map_reading import read_features
from .tiny_scene import AGREE, ScenePath, fit_scene, put_on_scene

FOLDER = WEIGHTS / "tiny_tracker"
MATCH_RADIUS = 2  # px, half side of the patch that tells whether the scene is seen at a place


class TinyTracker(LearnedTracker):
    """Small learned point tracker for the embedded world (64x64, any number of frames), with occlusion.

    Larger clips are stretched to 64x64, so accuracy is a fraction of the frame, not of a pixel: use `real` for real
    footage. Since version 2 points of the scene move exactly with the scene (see `tiny_scene`).
    """

    name = "tiny"
    version = 3
    folder = FOLDER
    trained_by = "training.tiny_tracker.train"

    def _scene(self, points: NDArray[np.float32], sure: NDArray[np.float32]) -> ScenePath:
        return fit_scene(points, sure, self.model.config.size)

    def _settle(
        self, around: Surroundings, points: NDArray[np.float32], sure: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        scene = around.scene.result()
        if scene is None or scene.agree < AGREE:
            return points, sure

        def match(where: NDArray[np.floating], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
            return self._match(around.levels[0], where[chosen])

        return put_on_scene(points, sure, scene.places(points[:, 0]), match, self.model.config.size)

    def _match(self, features: torch.Tensor, places: NDArray[np.floating]) -> NDArray[np.float32]:
        """Mean correlation (N, T) of the 5x5 pixels around places (N, T, 2) with those around the first of them."""
        where = torch.from_numpy(places).to(features)
        there = read_features(features, where[None], MATCH_RADIUS)[0]  # (N, T, 25, C)
        return torch.einsum("ntqc,nqc->nt", there, there[:, 0]).div(there.shape[2]).cpu().numpy()
