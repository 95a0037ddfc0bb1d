"""The oracle: what a perfect transfer would look like, where the motion of the reference is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from motionbench.backbone import make_backbone
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.config import setting, suited_config
from motionbench.errors import MissingInputError, StoreError
from motionbench.files import write_json
from motionbench.method import InputContract, Runtime
from motionbench.split import Split

from .world.truth import Truth, make_truth, read_truth, render_prompt, truth_header, truth_path


@dataclass(frozen=True)
class OracleConfig:
    """What the ceiling shows."""

    decoded: bool = setting(
        True, "pass the clip through the backbone's autoencoder: the ceiling is what it could show at best"
    )


@dataclass(frozen=True)
class TruthAdapter:
    """An adapter that is the reference's ground truth."""

    truth: Truth

    def save(self, folder: Path) -> None:
        """Write `motion.safetensors` and, last, `adapter.json`. Raises StoreError."""
        from safetensors.numpy import save_file

        try:
            folder.mkdir(parents=True, exist_ok=True)
            motion = {key: np.array(value, order="C") for key, value in self.truth.motion.items()}
            save_file(motion, folder / "motion.safetensors")
        except OSError as error:
            raise StoreError(f"cannot write an adapter to {folder}: {error}") from error
        write_json(folder / "adapter.json", {"method": "oracle", "truth": truth_header(self.truth)})

    @classmethod
    def load(cls, folder: Path) -> TruthAdapter:
        """The truth that `save` wrote. Raises StoreError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            header = json.loads((folder / "adapter.json").read_text("utf-8"))["truth"]
            return cls(make_truth(header, load_file(folder / "motion.safetensors")))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise StoreError(f"cannot read an oracle's adapter from {folder}: {error!r}") from error


class Oracle:
    """The reference's true motion rendered with the prompt's content: the ceiling, on splits with ground truth."""

    name: ClassVar[str] = "oracle"
    contract: ClassVar[InputContract] = InputContract(
        trains=False, start_latent="none", sees_reference=True, extra_inputs=("truth",), is_control=True
    )
    Config: ClassVar[type] = OracleConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, config: OracleConfig, runtime: Runtime) -> None:
        self.config = config
        self.backbone = make_backbone(runtime) if config.decoded else None

    @classmethod
    def create(cls, config: OracleConfig | None, runtime: Runtime) -> Self:
        """The oracle; the backbone is loaded only if its clips are to be `decoded`."""
        return cls(suited_config(cls, runtime.backbone, config), runtime)

    @classmethod
    def sources(cls, config: OracleConfig, split: Split, cases: Sequence[Case]) -> dict[str, list[Path]]:
        """Case id -> the file with its reference's ground truth."""
        return {case.id: [truth_path(split.reference_path(case))] for case in cases}

    def fit(self, reference: Clip, caption: str, *, seed: int) -> TruthAdapter:
        """Read the ground truth beside the reference's file. Raises MissingInputError if there is none."""
        if reference.path is None:
            raise MissingInputError("oracle needs the ground truth beside the reference; this clip has no file")
        return TruthAdapter(read_truth(truth_path(reference.path)))

    def generate(self, adapter: TruthAdapter, prompt: str, *, seed: int) -> Clip:
        """The known motion with the prompt's content; the same for every seed."""
        clip, _ = render_prompt(adapter.truth, prompt)
        if self.backbone is None:
            return clip
        decoded: Clip = self.backbone.decode(self.backbone.encode(self.backbone.prepare(clip)))
        return decoded

    def load_adapter(self, folder: Path) -> TruthAdapter:
        """The adapter kept in a folder."""
        return TruthAdapter.load(folder)
