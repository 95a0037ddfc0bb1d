"""Backbone: one class for every Wan-type text-to-video model; only the folder of weights differs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.errors import NotFiniteError, ShapeError
from motionbench.pair import to_shape

from .backbone_spec import BackboneSpec
from .float8 import float8_weights
from .flow import euler, gaussian, sampling_times
from .parts import load_parts
from .recompute import recomputed

logger = logging.getLogger(__name__)

FrozenWeights = Literal["unchanged", "float8"]


class Backbone:
    """A Wan-type video diffusion transformer with its VAE and text encoder, ready on one device.

    Times run from 1 (noise) to 0 (clip); latents are normalized by the VAE's own mean and deviation.
    Sources: Wan2.1 (arXiv:2503.20314); diffusers' `WanTransformer3DModel`, `AutoencoderKLWan`; UMT5 of transformers.
    """

    joint_guidance = True  # both sides of classifier-free guidance in one batch

    def __init__(self, name: str, spec: BackboneSpec, parts: Mapping[str, Any], *, device: str, dtype: str) -> None:
        self.name = name
        self.spec = spec
        self.device = torch.device(device)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._parts = parts
        self.frames, self.height, self.width, self.fps = spec.frames, spec.height, spec.width, spec.fps
        self.shift, self.guidance, self.steps = spec.shift, spec.guidance, spec.steps
        config = self.vae.config
        shape = (1, config.z_dim, 1, 1, 1)
        self._mean = torch.tensor(config.latents_mean, device=self.device).view(shape)
        self._std = torch.tensor(config.latents_std, device=self.device).view(shape)

    @cached_property
    def transformer(self) -> Any:
        """diffusers' `WanTransformer3DModel`; taken from the parts when it is first asked for, as the others are."""
        return self._parts["transformer"]

    @cached_property
    def vae(self) -> Any:
        """diffusers' `AutoencoderKLWan`, in float32."""
        return self._parts["vae"]

    @cached_property
    def text_encoder(self) -> Any:
        """transformers' `UMT5EncoderModel`."""
        return self._parts["text_encoder"]

    @cached_property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer."""
        return self._parts["tokenizer"]

    @classmethod
    def load(cls, name: str, folder: Path, spec: BackboneSpec, *, device: str, dtype: str) -> Backbone:
        """The backbone in a diffusers folder (transformer/, vae/, text_encoder/, tokenizer/); nothing is downloaded.

        The transformer gets `dtype`, but for the modules that Wan keeps in float32; VAE and text encoder stay float32.
        Raises MissingWeightsError naming the parts that are absent.
        """
        return cls(name, spec, load_parts(name, folder, device=device, dtype=dtype), device=device, dtype=dtype)

    def latent_shape(self, frames: int | None = None) -> tuple[int, int, int, int]:
        """(C, F, h, w) of a clip of `frames` pixel frames (default: the native number)."""
        config = self.vae.config
        f = ((self.frames if frames is None else frames) - 1) // config.scale_factor_temporal + 1
        s = config.scale_factor_spatial
        return config.z_dim, f, self.height // s, self.width // s

    @cached_property
    def frames_apart(self) -> bool:
        """Whether `encode` gives each frame a latent that owes nothing to other frames, as a VAE of images would."""
        if self.vae.config.scale_factor_temporal != 1:
            return False
        convolutions = [module for module in self.vae.encoder.modules() if isinstance(module, nn.Conv3d)]
        return all(not module.weight[:, :, :-1].any() for module in convolutions)  # the last tap is the frame itself

    def prepare(self, clip: Clip) -> Clip:
        """The clip at the native shape: nearest frames (never blended), the center at the native aspect, scaled."""
        native = (self.frames, self.height, self.width)
        if clip.frames.shape[:3] != native or clip.times is not None:
            repeated = self.frames - len(set(clip.indices(self.frames)))
            words = f"; {repeated} of them repeat the one before" if repeated else ""
            logger.info("reference of %d frames %dx%d taken as %d frames %dx%d%s", *_shape(clip), *native, words)
        return to_shape(clip, *native)

    @torch.no_grad()
    def encode(self, clip: Clip) -> Tensor:
        """Normalized latents (1, C, F, h, w) float32 of a clip; the posterior's mode, so there is no draw in it."""
        if (len(clip) - 1) % 4 or clip.height != self.height or clip.width != self.width:
            raise ShapeError(
                f"backbone {self.name} takes 4k+1 frames of {self.height}x{self.width}, got {_shape(clip)}; "
                "call prepare() first"
            )
        x = torch.from_numpy(np.ascontiguousarray(clip.frames)).to(self.device)
        x = rearrange(x, "t h w c -> 1 c t h w").float() / 127.5 - 1
        mode: Tensor = self.vae.encode(x).latent_dist.mode()
        return (mode - self._mean) / self._std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Clip:
        """The clip of normalized latents (1, C, F, h, w). Raises NotFiniteError on NaN or infinity."""
        if not torch.isfinite(latents).all():
            raise NotFiniteError("latents hold NaN or infinity; lower the learning rate or use float32")
        x = self.vae.decode(latents.float() * self._std + self._mean).sample
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return Clip(rearrange(pixels, "1 c t h w -> t h w c").contiguous().cpu().numpy(), self.fps)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Prompt embeddings (B, L, D_text), zero past each prompt's end, as Wan's own pipeline makes them.

        Words outside a closed vocabulary and tokens past L are dropped with a warning that names them.
        """
        tokens = self.tokenizer(
            list(texts), padding="max_length", max_length=self.spec.text_tokens, truncation=True, return_tensors="pt"
        )
        for text in texts:
            self._warn_of_losses(text)
        place = self.text_encoder.device
        ids, mask = tokens.input_ids.to(place), tokens.attention_mask.to(place)
        hidden: Tensor = self.text_encoder(ids, mask).last_hidden_state
        padded: Tensor = (hidden * mask[..., None]).to(self.dtype)
        return padded.to(self.device)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a prompt that this backbone's tokenizer does not know (none for open vocabularies)."""
        unknown = self.tokenizer.unk_token_id
        return [w for w in text.lower().split() if unknown in self.tokenizer(w, add_special_tokens=False).input_ids]

    def _warn_of_losses(self, text: str) -> None:
        words = self.unknown_words(text)
        if words:
            logger.warning("backbone %s does not know: %s (in %r)", self.name, ", ".join(words), text)
        length = len(self.tokenizer(text).input_ids)
        if length > self.spec.text_tokens:
            logger.warning("prompt of %d tokens cut to %d: %r", length, self.spec.text_tokens, text)

    def velocity(self, latents: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """Predicted velocity eps - x_0, float32, of latents (B, C, F, h, w) at times t (B,) and text (B, L, D)."""
        out: Tensor = self.transformer(latents.to(self.dtype), t * 1000, text, return_dict=False)[0]
        return out.float()

    def guided_velocity(self, text: Tensor, guidance: float | None = None) -> Callable[[Tensor, Tensor], Tensor]:
        """`velocity` with classifier-free guidance: of latents (B, C, F, h, w) and times (B,), for text (B, L, D).

        guidance: its scale, None takes the backbone's own; 1 is the plain velocity. Gradients flow through it.
        """
        scale = self.guidance if guidance is None else guidance
        both = torch.cat([text, self.encode_text([self.spec.negative_prompt]).expand(text.shape[0], -1, -1)])

        def guided(x: Tensor, t: Tensor) -> Tensor:
            if scale == 1:
                return self.velocity(x, t, text)
            if self.joint_guidance:
                with_text, without = self.velocity(x.repeat(2, 1, 1, 1, 1), t.repeat(2), both).chunk(2)
            else:
                with_text, without = (self.velocity(x, t, side) for side in both.chunk(2))
            return without + scale * (with_text - without)

        return guided

    @property
    def replays(self) -> bool:
        """Whether training steps are recorded once and replayed (`replay.ReplayedSteps`)."""
        return False

    @contextmanager
    def computing(self, *, looking_inside: bool = False) -> Iterator[None]:
        """Ready for many forward passes; looking_inside: by code that replaces parts of the attentions."""
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
        """Ready for training steps on latents of shape (B, C, F, h, w) with one text (1, L, D).

        save_memory: activations are recomputed for the gradient, all of them here; the numbers are the same. dropout:
        something that is trained has it. frozen_weights: `float8` rounds those of large products, and what they are
        multiplied with.
        """
        count = len(self.transformer.blocks) if save_memory else 0
        with self._rounding(frozen_weights), recomputed(self.transformer, count, random=dropout):
            yield

    def _rounding(self, frozen_weights: FrozenWeights) -> AbstractContextManager[Any]:
        return float8_weights(self.transformer, self.device) if frozen_weights == "float8" else nullcontext()

    @contextmanager
    def guiding(self, latents: tuple[int, ...], *, save_memory: bool, opened: Sequence[int] = ()) -> Iterator[None]:
        """Ready for gradients of latents (B, C, F, h, w) through the model; save_memory: as `training` has it.

        opened: blocks into which the caller puts something that acts at times.
        """
        with recomputed(self.transformer, len(self.transformer.blocks) if save_memory else 0):
            yield

    @torch.no_grad()
    def sample(
        self,
        text: Tensor,
        *,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
        frames: int | None = None,
        start: Tensor | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Latents (B, C, F, h, w) for prompt embeddings (B, L, D): Euler steps with classifier-free guidance.

        start: latents to begin with at time 1 instead of the seed's noise, such as inverted ones.
        """
        if start is None:
            start = gaussian((text.shape[0], *self.latent_shape(frames)), seed, self.device)
        times = sampling_times(steps or self.steps, self.shift)
        return euler(self.guided_velocity(text, guidance), start, times, on_step)


def _shape(clip: Clip) -> tuple[int, int, int]:
    return len(clip), clip.height, clip.width
