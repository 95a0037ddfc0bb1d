"""What Follow-Your-Motion learns from a reference: two PEFT LoRAs, the head scores, and the settings behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from motionbench.adapter_folder import new_adapter_folder, read_facts, reading_adapter, write_facts
from motionbench.typed_json import to_object

from .branches import BRANCHES, BranchName
from .config import Config
from .heads import HeadScores

if TYPE_CHECKING:
    from peft import LoraConfig

METHOD = "followyourmotion"


@dataclass(frozen=True, eq=False)
class MotionAdapter:
    """The fit of one reference.

    backbone: its name; temporal: (L, K) bool, the heads that were taken as temporal; scores: None if none were measured
    (`decouple` off); loras: weights by branch, keyed as PEFT keys them; a branch without heads or steps is absent.
    """

    backbone: str
    config: Config
    temporal: NDArray[np.bool_]
    scores: HeadScores | None
    loras: dict[BranchName, dict[str, Tensor]]

    def save(self, folder: Path) -> None:
        """Write `adapter.json` and, for each branch, a PEFT folder. The folder is there in full or not at all.

        Raises StoreError if it cannot be written, or if `folder` holds something that is no adapter.
        """
        with new_adapter_folder(folder) as draft:
            self._write(draft)

    def _write(self, folder: Path) -> None:
        for branch, weights in self.loras.items():
            peft_config(branch, self.config.rank, self.config.lora_scale).save_pretrained(str(folder / branch))
            save_file(weights, folder / branch / "adapter_model.safetensors", metadata={"format": "pt"})
        write_facts(
            folder,
            METHOD,
            backbone=self.backbone,
            config=asdict(self.config),
            temporal=self.temporal.astype(int).tolist(),
            scores=None if self.scores is None else self.scores.to_json(),
            branches=sorted(self.loras),
        )


def peft_config(branch: BranchName, rank: int, scale: float) -> LoraConfig:
    """PEFT's description of a LoRA on q, k, v and the output projection of one branch; scale = alpha / rank."""
    from peft import LoraConfig  # seconds, which a run's first process need not wait for

    return LoraConfig(
        r=rank,
        lora_alpha=rank * scale,
        target_modules=rf"\d+\.{branch}\.[qkvo]",
        init_lora_weights=False,
    )


def load_adapter(folder: Path) -> MotionAdapter:
    """The adapter that `MotionAdapter.save` wrote. Raises StoreError naming what is missing or of another schema."""
    with reading_adapter(folder):
        facts = to_object(_Facts, read_facts(folder, METHOD), refuse_unknown=False)
        return MotionAdapter(
            backbone=facts.backbone,
            config=facts.config,
            temporal=np.asarray(facts.temporal, dtype=bool),
            scores=None if facts.scores is None else HeadScores.from_json(facts.scores),
            loras={b: load_file(folder / b / "adapter_model.safetensors") for b in BRANCHES if b in facts.branches},
        )


@dataclass(frozen=True)
class _Facts:
    """What `adapter.json` holds."""

    backbone: str
    config: Config
    temporal: tuple[tuple[int, ...], ...]
    scores: dict[str, tuple[tuple[float, ...], ...]] | None
    branches: tuple[BranchName, ...]
