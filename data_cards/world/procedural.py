"""The procedural world: draws training clips, and renders known motions with other content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.seeds import derive_seed
from motionbench.tracks import Tracks
from motionbench.world import Batch, Corruption

from .corruptions import CORRUPTIONS, corrupt_truth
from .language import vocabulary
from .rendering import FPS, FRAMES, HEIGHT, WIDTH, draw_queries, render, track
from .staging import Staging, clip_labels
from .training import CATEGORY_SHARES, draw_training
from .truth import exact_tracks, read_truth, render_prompt, stage_truth, truth_path

SOURCE = "rendered by motionbench.data_cards.world"  # what manifests say of its clips


class ProceduralWorld:
    """Textured scenes, objects, articulated figures and cameras, 17 frames of 64x64, with exact tracks."""

    frames = FRAMES
    height = HEIGHT
    width = WIDTH
    fps = FPS
    tracker = "tiny"
    image_model = "tiny-clip"

    def made(self, case: Case) -> bool:
        """Whether this world made the reference of a case: manifests name it as the source."""
        return case.source == SOURCE

    def vocabulary(self) -> tuple[str, ...]:
        """Every word that a caption can hold, sorted."""
        return vocabulary()

    def sample(
        self, batch: int, *, seed: int, device: str, points: int = 0, shares: Mapping[str, float] | None = None
    ) -> Batch:
        """`batch` random training clips, float32 on `device`, with `points` exact tracks each.

        Deterministic in seed on one device type. About half of the points lie on an object or figure, where one is in
        the frame; `track` says what visible means. shares: how often each category is drawn, in the sum 1; None:
        CATEGORY_SHARES.
        """
        rng = np.random.default_rng(derive_seed(seed, "training"))
        generator = torch.Generator(device=device).manual_seed(derive_seed(seed, "textures"))
        names, shares = list(CATEGORY_SHARES), shares or CATEGORY_SHARES
        pick = rng.choice(len(names), batch, p=[shares[name] for name in names])
        made = Batch(
            frames=torch.empty(batch, FRAMES, 3, HEIGHT, WIDTH, device=device),
            captions=[""] * batch,
            queries=torch.empty(batch, points, 2, device=device),
            points=torch.empty(batch, points, FRAMES, 2, device=device),
            visible=torch.empty(batch, points, FRAMES, dtype=torch.bool, device=device),
            background=torch.empty(batch, points, dtype=torch.bool, device=device),
            labels=[{} for _ in range(batch)],
        )
        for i, category in enumerate(names):
            rows = np.flatnonzero(pick == i)
            if len(rows):
                self._fill(made, rows, draw_training(rng, category, len(rows)), rng, generator)
        return made

    def _fill(
        self,
        made: Batch,
        rows: NDArray[np.intp],
        staging: Staging,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> None:
        at = torch.from_numpy(rows).to(made.frames.device)
        shots = staging.shots().to(made.frames.device, torch.float32)
        made.frames[at] = render(shots, generator)
        for row, caption, labels in zip(rows, staging.captions(), clip_labels(staging), strict=True):
            made.captions[row], made.labels[row] = caption, labels
        count = made.queries.shape[1]
        if count:
            queries = draw_queries(shots, count, rng)
            points, visible, owner = track(shots, queries)
            made.queries[at], made.points[at], made.visible[at], made.background[at] = (
                queries,
                points,
                visible,
                owner < 0,
            )

    def rerender(self, reference: Path, prompt: str) -> tuple[Clip, Tracks]:
        """The motion of the split clip at `reference` with the content of `prompt`, from the ground truth beside it.

        The tracks are those of a 20 x 20 grid, in this clip's pixels. What the prompt leaves unsaid stays as in the
        reference; its motion words are ignored. Raises MissingInputError if there is no ground truth.
        """
        return render_prompt(read_truth(truth_path(reference)), prompt)

    def corruptions(self) -> tuple[Corruption, ...]:
        """The graded corruptions that `corrupt` knows."""
        return CORRUPTIONS

    def corrupt(
        self, reference: Path, prompt: str, name: str, strength: float, *, seed: int, queries: NDArray[np.float32]
    ) -> tuple[Clip, Tracks]:
        """The perfect transfer of the split clip at `reference` to a prompt, corrupted, with its true tracks.

        Raises MissingInputError if there is no ground truth, ConfigError for an unknown corruption.
        """
        return corrupt_truth(read_truth(truth_path(reference)), prompt, name, strength, seed=seed, queries=queries)

    def true_tracks(self, reference: Path, queries: NDArray[np.float32]) -> Tracks:
        """The true tracks of points (N, 2) of the split clip at `reference`. Raises MissingInputError."""
        truth = read_truth(truth_path(reference))
        return exact_tracks(stage_truth(truth, truth.scene, truth.subjects).shots(), queries)[0]
