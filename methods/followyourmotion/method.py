"""Follow-Your-Motion: the algorithm from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.method import InputContract
from motionbench.seeds import derive_seed

from ..backbones.backbone import Backbone
from ..backbones.backbone_method import BackboneMethod
from ..tuning.training import encode_frames
from .adapter import MotionAdapter, load_adapter
from .branches import BRANCHES, BranchName
from .config import PRESETS
from .config import Config as FymConfig
from .decoupled_lora import DecoupledLoras, decoupled_loras
from .export import export_lora
from .heads import HeadScores, score_heads
from .rope import PlacedRope, placed_rope
from .sampling import excerpts
from .stages import train_spatial, train_temporal


class FollowYourMotion(BackboneMethod):
    """Decoupled spatial and temporal LoRAs on classified attention heads (Follow-Your-Motion, arXiv:2506.05207).

    fit: tell spatial from temporal heads, tune the spatial LoRA on single frames, then the temporal LoRA on sparse
    frames with adaptive RoPE. generate: sample from noise with both LoRAs. Needs a Wan-type backbone.
    """

    name: ClassVar[str] = "followyourmotion"
    contract: ClassVar[InputContract] = InputContract(trains=True, start_latent="noise", sees_reference=False)
    Config: ClassVar[type] = FymConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    config: FymConfig

    def fit(self, reference: Clip, caption: str, *, seed: int) -> MotionAdapter:
        """Tune both LoRAs on one reference. Deterministic in (reference, caption, seed)."""
        config, backbone = self.config, self.backbone
        clip = backbone.prepare(reference)
        text = backbone.encode_text([caption])
        scores = self.score_heads([(clip, caption)], seed=seed) if config.decouple else None
        temporal = self._assignment(scores, seed)
        with self._tunable(temporal) as loras, placed_rope(backbone.transformer) as rope:
            spatial = self._fit_spatial(loras, clip, text, seed) if config.decouple else {}
            tuned = self._fit_temporal(loras, rope, clip, text, seed)
        weights: dict[BranchName, dict[str, Tensor]] = {"spatial": spatial, "temporal": tuned}
        return MotionAdapter(backbone.name, config, temporal, scores, {b: w for b, w in weights.items() if w})

    def generate(self, adapter: MotionAdapter, prompt: str, *, seed: int) -> Clip:
        """A clip of the prompt that moves as the adapter's reference did. Deterministic in (adapter, prompt, seed)."""
        backbone, config = self.backbone, self.config
        text = backbone.encode_text([prompt])
        with ExitStack() as branches:
            branches.enter_context(self.tuned(adapter))

            def on_step(done: int, total: int) -> None:
                self.runtime.report("sample", done, total)
                if done >= config.active_share * total:
                    branches.close()

            latents = backbone.sample(
                text,
                seed=derive_seed(seed, "sample"),
                steps=config.sample_steps,
                guidance=config.guidance,
                on_step=on_step,
            )
        return backbone.decode(latents)

    def load_adapter(self, folder: Path) -> MotionAdapter:
        """The adapter that `save` wrote into a folder. Raises StoreError."""
        return load_adapter(folder)

    def export(self, adapter: MotionAdapter, path: Path) -> None:
        """Write what `generate` samples with as one LoRA file that `diffusers.WanPipeline.load_lora_weights` takes.

        Raises ConfigError where no LoRA file can hold it (`isolate_norm`), StoreError if the disk refuses.
        """
        width = int(self.backbone.transformer.config.attention_head_dim)
        export_lora(adapter, path, width=width, branches=self._active)

    def score_heads(self, clips: Sequence[tuple[Clip, str]], *, seed: int) -> HeadScores:
        """Similarities of every head's attention with the pseudo maps, on prepared clips with their captions."""
        config, backbone = self.config, self.backbone
        encoded = [(backbone.encode(clip), backbone.encode_text([caption])) for clip, caption in clips]
        generator, report = _generator(seed, "heads"), self.runtime.report
        with backbone.computing(looking_inside=True):
            return score_heads(backbone, encoded, config.head_times, config.head_draws, generator, report)

    @contextmanager
    def tuned(self, adapter: MotionAdapter) -> Iterator[Backbone]:
        """The backbone with an adapter's branches active (`branches_at_inference`); untouched again on leaving."""
        self.require_same_backbone(adapter)
        config = adapter.config
        with self._tunable(adapter.temporal, isolate_norm=config.isolate_norm) as loras:
            for branch in self._active:
                if branch in adapter.loras:
                    loras.load_lora(branch, adapter.loras[branch], rank=config.rank, scale=config.lora_scale)
            for branch in self._active:
                loras.merge_lora(branch)
            yield self.backbone

    @property
    def _active(self) -> tuple[BranchName, ...]:
        return BRANCHES if self.config.branches_at_inference == "both" else ("temporal",)

    def _assignment(self, scores: HeadScores | None, seed: int) -> NDArray[np.bool_]:
        config, shape = self.config, self.backbone.transformer.config
        if scores is None:  # one LoRA on all heads
            return np.ones((shape.num_layers, shape.num_attention_heads), dtype=bool)
        drawn = derive_seed(seed, "followyourmotion", "random heads")
        return scores.is_temporal(config.head_rule, alpha=config.head_alpha, ratio=config.head_ratio, seed=drawn)

    def _fit_spatial(self, loras: DecoupledLoras, clip: Clip, text: Tensor, seed: int) -> dict[str, Tensor]:
        """The spatial LoRA's weights; it stays where it is, frozen."""
        config, generator = self.config, _generator(seed, "spatial")
        parameters = self._add_lora(loras, "spatial", generator)
        if parameters and config.spatial_steps:
            frames = encode_frames(self.backbone, clip)
            shape = (config.spatial_batch, *frames.shape[1:])
            with self._training(text, shape):
                train_spatial(self.backbone, frames, text, parameters, config, generator, self.runtime.report)
        for parameter in parameters:
            parameter.requires_grad_(False)
        return loras.weights("spatial")

    def _fit_temporal(
        self, loras: DecoupledLoras, rope: PlacedRope, clip: Clip, text: Tensor, seed: int
    ) -> dict[str, Tensor]:
        """The temporal LoRA's weights, tuned beside the frozen spatial one."""
        config, backbone, generator = self.config, self.backbone, _generator(seed, "temporal")
        parameters = self._add_lora(loras, "temporal", generator)
        loras.merge_lora("spatial")
        views = excerpts(backbone, clip, config, generator)
        shape = (config.temporal_batch, *views[0].latents.shape[1:])
        with self._training(text, shape):
            train_temporal(backbone, rope, views, text, parameters, config, generator, self.runtime.report)
        return loras.weights("temporal")

    def _training(self, text: Tensor, shape: tuple[int, ...]) -> AbstractContextManager[None]:
        config = self.config
        return self.backbone.training(
            text, shape, save_memory=config.gradient_checkpointing, frozen_weights=config.frozen_weights
        )

    def _add_lora(self, loras: DecoupledLoras, branch: BranchName, generator: torch.Generator) -> list[nn.Parameter]:
        return loras.add_lora(branch, rank=self.config.rank, scale=self.config.lora_scale, generator=generator)

    @contextmanager
    def _tunable(self, temporal: NDArray[np.bool_], isolate_norm: bool | None = None) -> Iterator[DecoupledLoras]:
        isolated = self.config.isolate_norm if isolate_norm is None else isolate_norm
        with decoupled_loras(self.backbone.transformer, temporal, isolate_norm=isolated) as loras:
            yield loras


def _generator(seed: int, stage: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, "followyourmotion", stage))
