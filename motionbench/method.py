"""What a method is: something that fits a reference and then generates clips that follow its motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from motionbench.clip import Clip

StartLatent = Literal["noise", "noised_reference", "inverted", "none"]


@dataclass(frozen=True)
class InputContract:
    """What a method consumes, shown beside its scores so that like is compared with like.

    trains: it is tuned per reference clip. start_latent: what sampling starts from (`none`: it does not sample).
    sees_reference: the reference is read again while sampling. extra_inputs: such as `mask`, `tracks`, `truth`; with
    `case`, a run calls `generate(adapter, prompt, seed=seed, case=Case)`, for methods that look results up by case id.
    is_control: a yardstick (floor or ceiling), not a competitor. uses_backbone: False for pixel-level controls.
    """

    trains: bool
    start_latent: StartLatent
    sees_reference: bool
    extra_inputs: tuple[str, ...] = ()
    is_control: bool = False
    uses_backbone: bool = True


def report_nothing(stage: str, done: int, total: int) -> None:
    """A progress report that goes nowhere."""


@dataclass(frozen=True)
class Runtime:
    """Where a method runs: names of backbone and device, number type, and who hears of its progress.

    device: `cpu` or `cuda[:i]`, already resolved from `auto`; dtype: `float32` or `bfloat16`.
    report(stage, done, total) is called as work goes on; it must not change any number. gpu_memory: the memory
    preset (see `motionbench.gpu_memory`) for backbones that have any; it must not change any number beyond rounding.
    """

    backbone: str = "tiny"
    device: str = "cpu"
    dtype: str = "float32"
    report: Callable[[str, int, int], None] = field(default=report_nothing, compare=False)
    gpu_memory: str = "auto"


class Adapter(Protocol):
    """What `fit` learned from one reference; kept as safetensors and JSON in a folder, never as pickle."""

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class Method(Protocol):
    """A motion-transfer method. Built by `create`; `config` is a frozen dataclass with documented fields.

    `presets` maps a preset's name to the fields in which it differs from the defaults.
    fit and generate are deterministic in (inputs, seed): the same bytes on the CPU in float32. One that reads files
    beside the manifest's also has a class method `sources(config, split, cases) -> {case id: [Path]}`, whether they are
    there or not: when their content changes the case is done again.
    """

    name: ClassVar[str]
    contract: ClassVar[InputContract]
    Config: ClassVar[type]
    presets: ClassVar[dict[str, dict[str, Any]]]
    config: Any

    @classmethod
    def create(cls, config: Any, runtime: Runtime) -> Self:
        """The method, ready; config None stands for the preset that suits the backbone (`config.suited_config`)."""
        ...

    def fit(self, reference: Clip, caption: str, *, seed: int) -> Adapter: ...

    def generate(self, adapter: Any, prompt: str, *, seed: int) -> Clip: ...

    def load_adapter(self, folder: Path) -> Adapter: ...
