"""What the methods share that tune something small on every self-attention: fit it, keep it, and sample with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from motionbench.adapter_folder import new_adapter_folder, read_facts, reading_adapter, write_facts
from motionbench.clip import Clip
from motionbench.errors import MissingInputError
from motionbench.method import Runtime
from motionbench.seeds import derive_seed

from ..backbones.backbone import Backbone
from ..backbones.backbone_method import BackboneMethod
from ..backbones.draws import Draw
from ..backbones.flow import gaussian
from ..taps.self_attention import require_self_attentions
from .inversion import invert, renormalized
from .training import random_times


@dataclass(frozen=True, eq=False)
class TunedAdapter:
    """The fit of one reference: named weights, and the inverted latents (1, C, F, h, w) if any."""

    method: str
    backbone: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    start: Tensor | None

    def save(self, folder: Path) -> None:
        """Write the weights with `adapter.json` beside them, in full or not at all. Raises StoreError."""
        with new_adapter_folder(folder) as draft:
            self.describe(draft)
            save_file(self.weights, draft / "adapter_model.safetensors", metadata={"format": "pt"})
            if self.start is not None:
                save_file({"start": self.start.contiguous()}, draft / "start.safetensors")
            write_facts(draft, self.method, backbone=self.backbone, config=self.config)

    def describe(self, folder: Path) -> None:
        """Write what other programs want beside the weights: nothing, unless a subclass says otherwise."""

    @classmethod
    def load(cls, folder: Path, method: str) -> Self:
        """The adapter that `save` wrote. Raises StoreError naming what is missing or of another method."""
        with reading_adapter(folder):
            facts = read_facts(folder, method)
            weights = load_file(folder / "adapter_model.safetensors")
            kept = folder / "start.safetensors"
            start = load_file(kept)["start"] if kept.exists() else None
            return cls(method, facts["backbone"], facts["config"], weights, start)


class TunedMethod(BackboneMethod):
    """A method that tunes modules on all self-attentions. A subclass says which (`host`, `fill`) and how (`tune`)."""

    Adapter: ClassVar[type[TunedAdapter]] = TunedAdapter

    def __init__(self, config: Any, runtime: Runtime, backbone: Backbone) -> None:
        require_self_attentions(self.name, backbone)
        super().__init__(config, runtime, backbone)

    def host(self, settings: dict[str, Any]) -> AbstractContextManager[nn.ModuleList]:
        """The backbone with fresh modules to tune, of the shape that a configuration says; untouched on leaving."""
        raise NotImplementedError

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """Train what `host` yields; text (1, L, D) is the caption's."""
        raise NotImplementedError

    def keep(self, layers: nn.ModuleList) -> dict[str, Tensor]:
        """After `tune`: let only what samples later act, without gradients, and return its weights, on the CPU."""
        layers.eval().requires_grad_(False)
        return {name: value.detach().cpu().clone() for name, value in layers.state_dict().items()}

    def fill(self, layers: nn.ModuleList, adapter: TunedAdapter) -> None:
        """Give a fresh host an adapter's weights, ready to sample."""
        layers.load_state_dict(adapter.weights)
        layers.eval().requires_grad_(False)

    def fit(self, reference: Clip, caption: str, *, seed: int) -> TunedAdapter:
        """Tune on one reference. Deterministic in (reference, caption, seed).

        Raises MissingInputError without a caption, NotFiniteError on a NaN.
        """
        if not caption.strip():
            raise MissingInputError(f"{self.name} needs the input caption: what the reference shows; it got none")
        backbone, config = self.backbone, self.config
        clip = backbone.prepare(reference)
        text = backbone.encode_text([caption])
        shape = (1, *backbone.latent_shape(len(clip)))
        facts = {"save_memory": config.gradient_checkpointing, "dropout": getattr(config, "dropout", 0) > 0}
        with self.host(asdict(config)) as layers:
            with (
                backbone.training(text, shape, **facts),
                fixed_randomness(derive_seed(seed, self.name, "dropout"), backbone.device),
            ):
                self.tune(layers, clip, text, seed=seed)
            weights = self.keep(layers)
            start = self._invert(clip, seed) if self.contract.start_latent == "inverted" else None
            return self.Adapter(self.name, backbone.name, asdict(config), weights, start)

    def generate(self, adapter: TunedAdapter, prompt: str, *, seed: int) -> Clip:
        """A clip of the prompt that moves as the adapter's reference did. Deterministic in (adapter, prompt, seed)."""
        backbone, config = self.backbone, self.config
        with self.tuned(adapter):
            latents = backbone.sample(
                backbone.encode_text([prompt]),
                seed=derive_seed(seed, "sample"),
                steps=config.sample_steps,
                guidance=config.guidance,
                start=self._start(adapter, derive_seed(seed, "sample")),
                on_step=lambda done, total: self.runtime.report("sample", done, total),
            )
        return backbone.decode(latents)

    def load_adapter(self, folder: Path) -> TunedAdapter:
        """The adapter that `save` wrote into a folder. Raises StoreError."""
        return self.Adapter.load(folder, self.name)

    @contextmanager
    def tuned(self, adapter: TunedAdapter) -> Iterator[Backbone]:
        """The backbone with an adapter at work; untouched again on leaving."""
        self.require_same_backbone(adapter)
        with self.host(adapter.config) as layers:
            self.fill(layers, adapter)
            yield self.backbone

    def generator(self, seed: int, stage: str) -> torch.Generator:
        """The source of a stage's random numbers."""
        return torch.Generator().manual_seed(derive_seed(seed, self.name, stage))

    def times(self, batch: int, generator: torch.Generator) -> Tensor:
        """Random training times (B,), on the CPU."""
        return random_times(self.backbone, batch, generator, self.config.time_density)

    def draws(self, latents: Tensor, generator: torch.Generator) -> Callable[[], Draw]:
        """What each step on a clip's latents draws: a time (1,), then noise of their shape."""
        return lambda: Draw((self.times(1, generator), torch.randn(latents.shape, generator=generator)))

    def _invert(self, clip: Clip, seed: int) -> Tensor:
        backbone, config = self.backbone, self.config
        with backbone.computing():
            latents = invert(
                backbone,
                backbone.encode(clip),
                backbone.encode_text([""]),
                steps=config.inversion_steps,
                iterations=config.inversion_iterations,
                noise=config.inversion_noise,
                seed=derive_seed(seed, self.name, "inversion"),
                on_step=lambda done, total: self.runtime.report("inversion", done, total),
            )
        return (renormalized(latents) if config.renormalize else latents).cpu()

    def _start(self, adapter: TunedAdapter, seed: int) -> Tensor | None:
        if adapter.start is None:
            return None
        inverted, share = adapter.start.to(self.backbone.device), self.config.noise_prior
        noise = gaussian(tuple(inverted.shape), seed, self.backbone.device)
        return math.sqrt(share) * inverted + math.sqrt(1 - share) * noise


@contextmanager
def fixed_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global generators inside the block, for dropout, which takes no generator of its own."""
    index = device.index or 0
    with torch.random.fork_rng(devices=[index] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
