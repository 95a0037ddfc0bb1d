"""Wan2.1 at full size: parts loaded when they are needed, prompts and latents computed once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from motionbench.clip import Clip
from motionbench.loading import loading
from motionbench.method import Runtime

from .backbone import Backbone, FrozenWeights
from .compiling import compiled_blocks
from .execution import Execution, execution_for
from .fast_attention import fast_attention
from .fixed_text import fixed_text
from .fused import fused_operators
from .parts import PARTS, LazyParts
from .recompute import blocks_to_recompute, free_device_bytes, recomputed
from .streaming import blocks_to_stream, is_streamed, place
from .tensor_cache import TensorCache
from .wan_models import WanModel
from .wan_weights import Weights, fetch_weights

logger = logging.getLogger(__name__)


class WanBackbone(Backbone):
    """A Wan2.1 model that never holds the text encoder beside more than it must.

    The text encoder (11 GB in bfloat16 at full size) is loaded for prompts that are not in the cache, and released at
    once; the transformer is loaded when it is first asked for, which is after the caption has been embedded.
    """

    def __init__(
        self,
        model: WanModel,
        weights: Weights,
        *,
        device: str,
        dtype: str,
        execution: Execution | None = None,
        cache: TensorCache | None = None,
    ) -> None:
        self.parts = LazyParts({part: partial(self._load, part) for part in PARTS})
        self.model, self.weights = model, weights
        self.cache = TensorCache() if cache is None else cache
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self.execution = execution_for("auto", self.device) if execution is None else execution
        self._trains = self._draws_again = False
        self.joint_guidance = self.execution.joint_guidance
        super().__init__(model.name, weights.spec, self.parts, device=device, dtype=dtype)

    @classmethod
    def create(cls, model: WanModel, runtime: Runtime) -> WanBackbone:
        """The backbone on a runtime's device; its weights are downloaded if the Hub may be asked."""
        execution = execution_for(runtime.gpu_memory, torch.device(runtime.device))
        return cls(model, fetch_weights(model), device=runtime.device, dtype=runtime.dtype, execution=execution)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Prompt embeddings (B, L, D_text) as `Backbone.encode_text` gives them, from the cache where they are there.

        The negative prompt is embedded along with what is missing, so that sampling does not load the encoder again.
        """
        wanted = dict.fromkeys([*texts, self.spec.negative_prompt, ""])
        known = {text: self.cache.get(*self._key("text", text)) for text in wanted}
        if any(known[text] is None for text in texts):
            missing = [text for text in wanted if known[text] is None]
            for text, embedding in zip(missing, self._embed(missing), strict=True):
                known[text] = embedding
                self.cache.put(embedding, *self._key("text", text))
        found: list[Tensor] = [known[text] for text in texts]  # type: ignore[misc]
        return torch.stack([embedding.to(self.device) for embedding in found])

    def _embed(self, texts: Sequence[str]) -> Tensor:
        logger.info("embedding %d prompts", len(texts))
        try:
            return torch.cat([super(WanBackbone, self).encode_text([text]).cpu() for text in texts])
        finally:
            self.__dict__.pop("text_encoder", None)
            self.parts.release("text_encoder")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    @torch.no_grad()
    def encode(self, clip: Clip) -> Tensor:
        """Normalized latents (1, C, F, h, w) as `Backbone.encode` gives them, from the cache where they are there."""
        key = self._key("latents", clip.sha256)
        latents = self.cache.get(*key)
        if latents is None:
            latents = super().encode(clip)
            self.cache.put(latents, *key)
        return latents.to(self.device)

    @property
    def replays(self) -> bool:
        """On a GPU, unless blocks come and go, draw the same numbers again, or the execution says otherwise."""
        wanted = self.execution.replay and self.device.type == "cuda"
        return wanted and not self._draws_again and not self._streams

    @property
    def _streams(self) -> bool:
        return any(is_streamed(block) for block in self.transformer.blocks)

    @contextmanager
    def computing(self, *, looking_inside: bool = False) -> Iterator[None]:
        """The quickest kernels inside the block, and compiled transformer blocks unless something looks inside."""
        compiler = None if looking_inside else self.execution.compiler
        with self._attention(), compiled_blocks(self.transformer, compiler):
            yield

    @contextmanager
    def _attention(self) -> Iterator[None]:
        execution, config = self.execution, self.transformer.config
        heads, width = int(config.num_attention_heads), int(config.attention_head_dim)
        with ExitStack() as quick:
            if execution.quick_attention:
                quick.enter_context(fast_attention(self.device, width, deterministic=execution.deterministic))
                quick.enter_context(fused_operators(self.device, heads, width))
            yield

    @contextmanager
    def training(
        self,
        text: Tensor,
        latents: tuple[int, ...],
        *,
        save_memory: bool,
        dropout: bool = False,
        frozen_weights: FrozenWeights = "unchanged",
    ) -> Iterator[None]:
        """As `Backbone.training`, but as few blocks are recomputed as memory allows, and the text is fixed."""
        with ExitStack() as ready:
            ready.enter_context(self.computing())
            ready.enter_context(self._rounding(frozen_weights))  # before memory is counted
            if self.execution.fixed_text and not self._streams:
                ready.enter_context(fixed_text(self.transformer, text))
            count = self._recomputed_blocks(latents) if save_memory else 0
            ready.enter_context(recomputed(self.transformer, count, random=dropout))
            self._trains, self._draws_again = True, bool(dropout and count)
            try:
                yield
            finally:
                self._trains = self._draws_again = False

    @contextmanager
    def guiding(self, latents: tuple[int, ...], *, save_memory: bool, opened: Sequence[int] = ()) -> Iterator[None]:
        """As `Backbone.guiding`, but as few blocks are recomputed as memory allows, and those not opened compiled."""
        count = self._recomputed_blocks(latents) if save_memory else 0
        compiled = compiled_blocks(self.transformer, self.execution.compiler, opened)
        with self._attention(), compiled, recomputed(self.transformer, count):
            yield

    def _recomputed_blocks(self, latents: tuple[int, ...]) -> int:
        count = self._blocks_to_recompute(latents)
        logger.info("recomputing %d of %d blocks", count, len(self.transformer.blocks))
        return count

    def _blocks_to_recompute(self, latents: tuple[int, ...]) -> int:
        blocks, share = len(self.transformer.blocks), self.execution.checkpoint_share
        free = free_device_bytes(self.device, self.execution.limit_bytes)
        if share is not None:
            return round(share * blocks)
        if free is None:
            return blocks
        batch, _, *grid = latents
        tokens = batch * math.prod(side // p for side, p in zip(grid, self.transformer.config.patch_size, strict=True))
        compiled = self.execution.compiler is not None
        return blocks_to_recompute(self.transformer, tokens, self.dtype.itemsize, free, compiled=compiled)

    def velocity(self, latents: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """As `Backbone.velocity`."""
        if self._trains and torch.is_grad_enabled() and not latents.requires_grad:
            # So that the first block is given what the others are, and no variant of its own is compiled for it.
            latents = latents.detach().requires_grad_()
        return super().velocity(latents, t, text)

    def sample(self, text: Tensor, **options: Any) -> Tensor:
        """As `Backbone.sample`, on the quickest kernels."""
        with self.computing():
            return super().sample(text, **options)

    def _key(self, kind: str, what: str) -> tuple[str, ...]:
        dtype = str(self.dtype) if kind == "text" else "torch.float32"
        return (kind, self.weights.revision, self.device.type, dtype, str(self.spec.text_tokens), what)

    def _load(self, part: str) -> Any:
        """One part of the folder on the device: the transformer in the backbone's dtype, as is the text encoder.

        `from_pretrained` keeps in float32 what Wan wants so (norms, time embedding, modulation tables); `.to(bfloat16)`
        would not.
        """
        with loading():
            from diffusers import AutoencoderKLWan, WanTransformer3DModel
            from transformers import AutoTokenizer, UMT5EncoderModel

        folder = self.weights.folder / part
        logger.info("loading %s of %s", part, self.name)
        if part == "tokenizer":
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if part == "text_encoder":
            made = UMT5EncoderModel.from_pretrained(folder, dtype=self.dtype, local_files_only=True)
        elif part == "vae":
            made = AutoencoderKLWan.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
            tile_beyond(made, self.spec.height, self.spec.width)
        else:
            made = WanTransformer3DModel.from_pretrained(folder, torch_dtype=self.dtype, local_files_only=True)
        made = made.eval().requires_grad_(False)
        if part == "transformer":
            return self._place(made)
        on_cpu = part == "text_encoder" and not self.execution.text_encoder_on_device
        return made if on_cpu else made.to(self.device)

    def _place(self, transformer: Any) -> Any:
        """The transformer on the device, or as much of it as the memory preset allows."""
        limit = self.execution.limit_bytes
        streamed = blocks_to_stream(transformer, limit) if self.execution.stream_blocks and limit else 0
        if streamed:
            logger.info("%d of %d blocks stay in host memory", streamed, len(transformer.blocks))
        return place(transformer, self.device, streamed)


def tile_beyond(vae: Any, height: int, width: int) -> None:
    """Let a VAE work in overlapping tiles of this size, in pixels: larger clips are cut, those of the size are not.

    Blended seams change pixels, so whether a clip is tiled must follow from its size, never from the memory at hand.
    """
    cell = int(vae.config.scale_factor_spatial)
    strides = [(side * 7 // 8) // cell * cell for side in (height, width)]
    vae.enable_tiling(
        tile_sample_min_height=height,
        tile_sample_min_width=width,
        tile_sample_stride_height=strides[0],
        tile_sample_stride_width=strides[1],
    )
