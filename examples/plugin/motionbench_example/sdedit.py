"""SDEdit as a method: start from the noised reference, and let the prompt do the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from motionbench.backbone import make_backbone
from motionbench.clip import Clip
from motionbench.config import setting, suited_config
from motionbench.errors import ConfigError
from motionbench.method import InputContract, Runtime
from motionbench.seeds import derive_seed


@dataclass(frozen=True)
class Config:
    """How far the reference is noised, and how the backbone samples from there."""

    strength: float = setting(
        0.8, "how much of the way from the clip (0) to noise (1) the reference is taken; more keeps less of it"
    )
    steps: int = setting(16, "of sampling, all of them between strength and 0")
    guidance: float | None = setting(None, "classifier-free guidance; none: the backbone's own")

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise ConfigError(f"strength must lie in (0, 1], got {self.strength}")
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True)
class Latents:
    """What `fit` keeps: the reference's latents (1, C, F, h, w)."""

    value: Tensor

    def save(self, folder: Path) -> None:
        """Write them as safetensors, with a JSON file that says what they are."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"latents": self.value.cpu().contiguous()}, folder / "latents.safetensors")
        (folder / "adapter.json").write_text(json.dumps({"schema": 1, "method": SdEdit.name}) + "\n", "utf-8")


class SdEdit:
    """Sampling from the noised reference (SDEdit, arXiv:2108.01073), on any backbone.

    fit: encode the reference. generate: noise its latents up to time `strength` and sample from there with the prompt.
    The start carries motion, and layout and colors with it: expect leak of the reference's look.
    """

    name: ClassVar[str] = "sdedit"
    contract: ClassVar[InputContract] = InputContract(
        trains=False, start_latent="noised_reference", sees_reference=False
    )
    Config: ClassVar[type] = Config
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self.config = config
        self.runtime = runtime
        self.backbone = make_backbone(runtime)

    @classmethod
    def create(cls, config: Config | None, runtime: Runtime) -> Self:
        """The method on the runtime's backbone; config None takes the preset that suits the backbone."""
        return cls(suited_config(cls, runtime.backbone, config), runtime)

    def fit(self, reference: Clip, caption: str, *, seed: int) -> Latents:
        """The reference at the backbone's own shape, encoded; caption and seed are not used."""
        return Latents(self.backbone.encode(self.backbone.prepare(reference)))

    @torch.no_grad()
    def generate(self, adapter: Latents, prompt: str, *, seed: int) -> Clip:
        """A clip of the prompt: Euler steps from x_t = (1 - t) x_0 + t noise at t = strength down to 0."""
        clean = adapter.value.to(self.backbone.device)
        generator = torch.Generator().manual_seed(derive_seed(seed, "sample"))
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        velocity = self.backbone.guided_velocity(self.backbone.encode_text([prompt]), self.config.guidance)
        times = self.times()
        x = (1 - times[0]) * clean + times[0] * noise
        for i, (t, after) in enumerate(pairwise(times), 1):
            x = x + (after - t) * velocity(x, t.view(1).to(x.device))
            self.runtime.report("sample", i, self.config.steps)
        clip: Clip = self.backbone.decode(x)
        return clip

    def times(self) -> Tensor:
        """(steps + 1,) from `strength` down to 0, spaced as the backbone spaces its own steps."""
        shift = self.backbone.shift
        first = self.config.strength / (shift - (shift - 1) * self.config.strength)  # the shift's inverse
        plain = torch.linspace(first, 0, self.config.steps + 1)
        return shift * plain / (1 + (shift - 1) * plain)

    def load_adapter(self, folder: Path) -> Latents:
        """The latents that `save` wrote."""
        return Latents(load_file(folder / "latents.safetensors")["latents"])
