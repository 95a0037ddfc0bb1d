"""What the LoRA baselines share: fit one LoRA that holds the motion, keep it, and sample with it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from motionbench.config import require, setting

from .config import InvertedStart, OptimizerConfig
from .lora import activate_lora, attention_lora, fill_lora, inject_lora, lora_host, lora_weights, merge_lora
from .method import TunedAdapter, TunedMethod

KEPT = "temporal"  # the name of the LoRA that holds the motion; any other is dropped after training


@dataclass(frozen=True)
class TuningConfig(OptimizerConfig):
    """What the LoRA methods share, beside `OptimizerConfig`."""

    rank: int = setting(32, "of the LoRAs")
    lora_scale: float = setting(1.0, "alpha / rank")
    dropout: float = setting(0.0, "of the LoRAs' input while training")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rank >= 1, "rank", "at least 1", self.rank)
        require(self.lora_scale > 0, "lora_scale", "positive", self.lora_scale)
        require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)


@dataclass(frozen=True)
class InvertedStartConfig(TuningConfig, InvertedStart):
    """The settings of LoRA methods that start from inverted latents: as in `TuningConfig` and `InvertedStart`."""


class LoraAdapter(TunedAdapter):
    """The fit of one reference: weights as PEFT keys them, and the inverted latents (1, C, F, h, w) if any."""

    def describe(self, folder: Path) -> None:
        """Write PEFT's own description, so that PEFT can load the folder."""
        attention_lora(self.config["rank"], self.config["lora_scale"]).save_pretrained(str(folder))


class LoraMethod(TunedMethod):
    """A method that tunes LoRAs on all self-attentions; a subclass says how, in `tune`.

    `tune` adds the LoRAs, among them KEPT; the others are dropped.
    """

    Adapter: ClassVar[type[TunedAdapter]] = LoraAdapter

    def host(self, settings: dict[str, Any]) -> AbstractContextManager[nn.ModuleList]:
        """The self-attentions, to put LoRAs on."""
        return lora_host(self.backbone.transformer)

    def keep(self, layers: nn.ModuleList) -> dict[str, Tensor]:
        """Only KEPT acts from here on, without dropout; returns its weights."""
        layers.eval()
        activate_lora(layers, [KEPT])
        weights = lora_weights(layers, KEPT)
        merge_lora(layers, KEPT)
        return weights

    def fill(self, layers: nn.ModuleList, adapter: TunedAdapter) -> None:
        """Put KEPT on the self-attentions, with an adapter's weights."""
        config = attention_lora(adapter.config["rank"], adapter.config["lora_scale"])
        inject_lora(layers, config, KEPT, torch.Generator())
        fill_lora(layers, KEPT, adapter.weights)
        merge_lora(layers, KEPT)

    def add_lora(self, layers: nn.ModuleList, name: str, generator: torch.Generator) -> list[nn.Parameter]:
        """A fresh LoRA by the configuration; returns its parameters. All LoRAs are active, only this one is trained."""
        config = attention_lora(self.config.rank, self.config.lora_scale, self.config.dropout)
        return inject_lora(layers, config, name, generator)
