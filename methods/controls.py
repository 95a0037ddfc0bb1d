"""Controls: methods that mark the floor and the ceiling of every metric, and compete with nobody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from motionbench.clip import Clip
from motionbench.config import setting, suited_config
from motionbench.errors import StoreError
from motionbench.kept_clip import KeptClip
from motionbench.method import InputContract, Runtime
from motionbench.seeds import derive_seed

from .backbones.backbone_method import BackboneMethod


@dataclass(frozen=True)
class NoConfig:
    """A control has no settings."""


@dataclass(frozen=True)
class SampleConfig:
    """How the backbone samples."""

    sample_steps: int | None = setting(None, "of sampling; none: the backbone's own")
    guidance: float | None = setting(None, "classifier-free guidance; none: the backbone's own")


class BackboneOnly(BackboneMethod):
    """The backbone alone, prompted but not tuned: what motion the prompt itself explains (the floor of transfer)."""

    name: ClassVar[str] = "backbone"
    contract: ClassVar[InputContract] = InputContract(
        trains=False, start_latent="noise", sees_reference=False, is_control=True
    )
    Config: ClassVar[type] = SampleConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def fit(self, reference: Clip, caption: str, *, seed: int) -> KeptClip:
        """Nothing is learned and nothing kept."""
        return KeptClip(None)

    def generate(self, adapter: KeptClip, prompt: str, *, seed: int) -> Clip:
        """A clip of the prompt from noise; the same noise as other methods that derive it from the seed alike."""
        latents = self.backbone.sample(
            self.backbone.encode_text([prompt]),
            seed=derive_seed(seed, "sample"),
            steps=self.config.sample_steps,
            guidance=self.config.guidance,
            on_step=lambda done, total: self.runtime.report("sample", done, total),
        )
        return self.backbone.decode(latents)

    def load_adapter(self, folder: Path) -> KeptClip:
        """The empty adapter of a folder."""
        return KeptClip.load(folder)


class _PixelControl:
    """What the pixel-level controls share: they keep the reference as it is, and load no backbone."""

    contract: ClassVar[InputContract] = InputContract(
        trains=False, start_latent="none", sees_reference=True, is_control=True, uses_backbone=False
    )
    Config: ClassVar[type] = NoConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, config: NoConfig, runtime: Runtime) -> None:
        self.config = config
        self.runtime = runtime

    @classmethod
    def create(cls, config: NoConfig | None, runtime: Runtime) -> Self:
        """The control; the runtime's backbone is not loaded."""
        return cls(suited_config(cls, runtime.backbone, config), runtime)

    def fit(self, reference: Clip, caption: str, *, seed: int) -> KeptClip:
        """Keep the reference at its own length, size and rate."""
        return KeptClip(reference)

    def generate(self, adapter: KeptClip, prompt: str, *, seed: int) -> Clip:
        """The kept reference, changed as the control's name says; prompt and seed are not used."""
        if adapter.clip is None:
            raise StoreError("this adapter holds no clip: it belongs to another method")
        return self.change(adapter.clip)

    def load_adapter(self, folder: Path) -> KeptClip:
        """The clip kept in a folder."""
        return KeptClip.load(folder)

    @staticmethod
    def change(clip: Clip) -> Clip:
        """What the control does to the reference."""
        raise NotImplementedError


class Copy(_PixelControl):
    """The reference itself: perfect motion, and the wrong content (a ceiling of motion fidelity)."""

    name: ClassVar[str] = "copy"

    @staticmethod
    def change(clip: Clip) -> Clip:
        """The clip as it is."""
        return Clip(clip.frames, clip.fps)


class Frozen(_PixelControl):
    """The reference's first frame, held: no motion at all (the floor of motion fidelity)."""

    name: ClassVar[str] = "frozen"

    @staticmethod
    def change(clip: Clip) -> Clip:
        """The first frame as often as the clip has frames."""
        return Clip(np.repeat(clip.frames[:1], len(clip), axis=0), clip.fps)


class Reversed(_PixelControl):
    """The reference played backwards: as much motion, all of it wrong (what a signed metric must punish)."""

    name: ClassVar[str] = "reversed"

    @staticmethod
    def change(clip: Clip) -> Clip:
        """The frames in opposite order."""
        return Clip(np.ascontiguousarray(clip.frames[::-1]), clip.fps)
