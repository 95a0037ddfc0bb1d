"""What a backbone is: a text-to-video model that methods prompt, guide or tune, and what is known before it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import PluginError
from motionbench.method import Runtime

if TYPE_CHECKING:
    from torch import Tensor

OnStep = Callable[[int, int], None]


class Backbone(Protocol):
    """A model of rectified flow on one device: x_t = (1 - t) x_0 + t eps, velocity eps - x_0, t from 1 to 0.

    frames, height, width, fps: of its clips in pixels. shift, guidance, steps: its own sampling defaults.
    Latents are (B, C, F, h, w) float32, text (B, L, D). This much the control `backbone` and methods that only sample
    need. Those that guide by features or attention, or that tune, also need `transformer`, of Wan's parts
    (`blocks[i].attn1` with to_q, to_k, to_v, to_out, norm_q and norm_k), and the contexts `training` and `guiding`:
    `motionbench.methods.backbones.backbone.Backbone` has all of it for any model of diffusers' Wan classes.
    """

    name: str
    device: Any
    dtype: Any
    frames: int
    height: int
    width: int
    fps: float
    shift: float
    guidance: float
    steps: int

    def prepare(self, clip: Clip) -> Clip:
        """The clip at the native shape: nearest frames, cut at the center, scaled."""
        ...

    def encode(self, clip: Clip) -> Tensor:
        """Latents (1, C, F, h, w) of a prepared clip, without a random draw."""
        ...

    def decode(self, latents: Tensor) -> Clip:
        """The clip of latents (1, C, F, h, w). Raises NotFiniteError on NaN."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Prompt embeddings (B, L, D)."""
        ...

    def latent_shape(self, frames: int | None = None) -> tuple[int, int, int, int]:
        """(C, F, h, w) of a clip of so many pixel frames; None: the native number."""
        ...

    def velocity(self, latents: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """The velocity of latents at times t (B,), float32, with gradients where they are asked for."""
        ...

    def guided_velocity(self, text: Tensor, guidance: float | None = None) -> Callable[[Tensor, Tensor], Tensor]:
        """`velocity` of latents and times with classifier-free guidance; None takes the own scale."""
        ...

    def sample(
        self,
        text: Tensor,
        *,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
        frames: int | None = None,
        start: Tensor | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Latents of a prompt, from the seed's noise or from `start`; the same bytes for the same arguments."""
        ...


@dataclass(frozen=True)
class BackboneEntry:
    """What an entry point of `motionbench.backbones` names: how a backbone is made, and what can be asked before.

    help: the line that `motionbench list backbones` prints; write it as a literal, since it is read without importing.
    create: makes the backbone on a runtime's device. revision: names its weights, for run.json and every record's key:
    other weights, other results; it downloads nothing.
    check: raises MissingWeightsError with the command that gets the weights; None: making the backbone tells.
    prefetch: fetches the weights once and says where they lie; None: there is nothing to fetch.
    make_random(folder, scale=..., seed=...): writes weights that only timings need; None: there are none.
    dtype: what the weights are made for. small: several fit in memory side by side. gpus: of one, that it needs.
    """

    help: str
    create: Callable[[Runtime], Any]
    revision: Callable[[], str]
    check: Callable[[], object] | None = None
    prefetch: Callable[[], str] | None = None
    make_random: Callable[..., Path] | None = None
    dtype: str = "float32"
    small: bool = False
    gpus: float = 1.0


def make_backbone(runtime: Runtime) -> Any:
    """The backbone that a runtime names, a `Backbone`.

    Raises UnknownNameError, MissingWeightsError, or PluginError naming what it lacks of `Backbone`.
    """
    made = registry.load("backbones", runtime.backbone).create(runtime)
    wanted = [*Backbone.__annotations__, *(name for name in vars(Backbone) if not name.startswith("_"))]
    missing = [name for name in wanted if not hasattr(made, name)]
    if missing:
        raise PluginError(
            f"backbone {runtime.backbone!r}: expected a motionbench.backbone.Backbone, but {type(made).__name__} has "
            f"no {', '.join(missing)}; add them, or make it by motionbench.methods.backbones.catalog.from_folder"
        )
    return made
