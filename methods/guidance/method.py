"""What the training-free methods share: keep a reference's latents, and guide the sampling of a clip by them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load_file, save_file
from torch import Tensor

from motionbench.adapter_folder import new_adapter_folder, read_facts, reading_adapter, write_facts
from motionbench.clip import Clip
from motionbench.config import require, setting
from motionbench.errors import StoreError
from motionbench.seeds import derive_seed

from ..backbones.backbone_method import BackboneMethod
from ..backbones.flow import gaussian, sampling_times
from .noised_reference import NoisedReference
from .sampling import Guide, InnerSchedule, sample_guided

REFERENCE = "reference"  # the name of the clean latents among an adapter's tensors


@dataclass(frozen=True)
class GuidanceConfig:
    """What the methods that optimize latents while sampling share."""

    guided_share: float = setting(
        0.2, "of the sampling steps, from the first on, in which the latents are optimized, in [0, 1]"
    )
    iterations: int = setting(5, "of AdamW in each guided step")
    lr_from: float = setting(2e-3, "learning rate in the first guided step")
    lr_to: float = setting(1e-3, "learning rate in the last guided step")
    weight_decay: float = setting(0.0, "0 makes it Adam")
    gradient_every: int = setting(1, "iterations per fresh gradient; those between reuse the last one")
    gradient_checkpointing: bool = setting(True, "recompute activations: memory for time")
    sample_steps: int | None = setting(None, "of sampling; none: the backbone's own")
    guidance: float | None = setting(None, "classifier-free guidance; none: the backbone's own")

    def __post_init__(self) -> None:
        require(0 <= self.guided_share <= 1, "guided_share", "in [0, 1]", self.guided_share)
        for name in ("iterations", "lr_from", "lr_to", "weight_decay"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(self.gradient_every >= 1, "gradient_every", "at least 1", self.gradient_every)
        require(self.sample_steps is None or self.sample_steps >= 1, "sample_steps", "at least 1", self.sample_steps)

    def schedule(self, steps: int) -> InnerSchedule:
        """The inner schedule of a sampling of so many steps."""
        facts = (self.iterations, self.lr_from, self.lr_to, self.weight_decay, self.gradient_every)
        return InnerSchedule(round(self.guided_share * steps), *facts)


@dataclass(frozen=True, eq=False)
class GuidanceAdapter:
    """What is kept of one reference: tensors on the CPU, among them `reference`, its clean latents (1, C, F, h, w)."""

    method: str
    backbone: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def save(self, folder: Path) -> None:
        """Write `reference.safetensors` and `adapter.json`, in full or not at all. Raises StoreError."""
        with new_adapter_folder(folder) as draft:
            kept = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
            save_file(kept, draft / "reference.safetensors")
            write_facts(draft, self.method, backbone=self.backbone, config=self.config)

    @classmethod
    def load(cls, folder: Path, method: str) -> Self:
        """The adapter that `save` wrote. Raises StoreError naming what is missing or of another method."""
        with reading_adapter(folder):
            facts = read_facts(folder, method)
            tensors = load_file(folder / "reference.safetensors")
            if REFERENCE not in tensors:
                raise StoreError(f"{folder}: reference.safetensors holds {sorted(tensors)}, but no {REFERENCE!r}")
            return cls(method, facts["backbone"], facts["config"], tensors)


class GuidanceMethod(BackboneMethod):
    """A method that guides sampling by the reference's latents; a subclass says how, in `guide`.

    It may also keep more of the reference (`inspect`), and start or step otherwise (`start`, `times`).
    """

    @property
    def opened_blocks(self) -> tuple[int, ...]:
        """Blocks into which something is put while a clip is made; what they take in and hand on may be read anyway."""
        return ()

    @property
    def gradient_batch(self) -> int:
        """Clips that a gradient goes through at once: two with classifier-free guidance in the loss."""
        return 1

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling; text (1, L, D) is the prompt's, start (1, C, F, h, w) what it begins with."""
        raise NotImplementedError

    def inspect(self, latents: Tensor, *, seed: int) -> dict[str, Tensor]:
        """More tensors to keep of a reference with these clean latents, by name, such as inverted latents; or none."""
        return {}

    def start(self, adapter: GuidanceAdapter, *, seed: int) -> Tensor:
        """The latents that sampling begins with: the seed's noise, the same as that of all methods."""
        shape = tuple(adapter.tensors[REFERENCE].shape)
        return gaussian(shape, derive_seed(seed, "sample"), self.backbone.device)

    def times(self) -> Tensor:
        """The times of sampling (N + 1,), falling to 0."""
        return sampling_times(self.config.sample_steps or self.backbone.steps, self.backbone.shift)

    def fit(self, reference: Clip, caption: str, *, seed: int) -> GuidanceAdapter:
        """Encode one reference; nothing is trained. Deterministic in (reference, seed); the caption is not used."""
        latents = self.backbone.encode(self.backbone.prepare(reference))
        with self.backbone.computing():
            kept = {REFERENCE: latents} | self.inspect(latents, seed=seed)
        tensors = {name: tensor.cpu() for name, tensor in kept.items()}
        return GuidanceAdapter(self.name, self.backbone.name, asdict(self.config), tensors)

    def generate(self, adapter: GuidanceAdapter, prompt: str, *, seed: int) -> Clip:
        """A clip of the prompt, guided by the adapter's reference. Deterministic in (adapter, prompt, seed).

        Raises NotFiniteError if the guidance breaks.
        """
        self.require_same_backbone(adapter)
        backbone, config, times = self.backbone, self.config, self.times()
        text = backbone.encode_text([prompt])
        start = self.start(adapter, seed=seed)
        shape, save_memory = (self.gradient_batch, *start.shape[1:]), config.gradient_checkpointing
        with backbone.guiding(shape, save_memory=save_memory, opened=self.opened_blocks):
            latents = sample_guided(
                backbone.guided_velocity(text, config.guidance),
                self.guide(adapter, text, start, seed=seed),
                config.schedule(len(times) - 1),
                start=start,
                times=times,
                on_step=lambda done, total: self.runtime.report("sample", done, total),
            )
        return backbone.decode(latents)

    def load_adapter(self, folder: Path) -> GuidanceAdapter:
        """The adapter that `save` wrote into a folder. Raises StoreError."""
        return GuidanceAdapter.load(folder, self.name)

    def noised_reference(self, adapter: GuidanceAdapter, *, seed: int) -> NoisedReference:
        """The reference on the backbone's device with this method's own noise, other than that of the start."""
        latents = adapter.tensors[REFERENCE].to(self.backbone.device)
        return NoisedReference.from_seed(latents, derive_seed(seed, self.name, "reference"))
