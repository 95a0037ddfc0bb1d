"""What the LoRA baselines share: fit one LoRA that holds the motion, keep it, and sample with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import ConfigError, StoreError
from motionbench.method import InputContract, Setting
from motionbench.seeds import derive_seed

from .adapter_folder import MARK, new_adapter_folder
from .backbones.backbone import Backbone
from .backbones.flow import gaussian
from .inversion import invert
from .lora import activate_lora, attention_lora, fill_lora, inject_lora, lora_host, lora_weights
from .lora_training import Schedule, TimeDensity, checkpointing, random_times

SCHEMA = 1
KEPT = "temporal"  # the name of the LoRA that holds the motion; any other is dropped after training


@dataclass(frozen=True)
class TuningConfig:
    """rank, lora_scale (alpha / rank), dropout (of the LoRA's input while training): the LoRAs.

    lr, weight_decay (AdamW), warmup_steps: linear, then lr_schedule; max_grad_norm: 0 turns clipping off.
    time_density: of the training times, shifted as the backbone's own. gradient_checkpointing: memory for time.
    sample_steps, guidance: None takes the backbone's own.
    """

    rank: int = 32
    lora_scale: float = 1.0
    dropout: float = 0.0
    lr: float = 5e-4
    weight_decay: float = 1e-2
    warmup_steps: int = 0
    lr_schedule: Literal["constant", "cosine"] = "constant"
    max_grad_norm: float = 1.0
    time_density: TimeDensity = "logit_normal"
    gradient_checkpointing: bool = True
    sample_steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        require(self.rank >= 1, "rank", "at least 1", self.rank)
        for name in ("lr", "lora_scale"):
            require(getattr(self, name) > 0, name, "positive", getattr(self, name))
        for name in ("weight_decay", "warmup_steps", "max_grad_norm"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)

    def schedule(self, stage: str, steps: int) -> Schedule:
        """The schedule of a stage of so many steps."""
        facts = (self.lr, self.weight_decay, self.warmup_steps, self.lr_schedule, self.max_grad_norm)
        return Schedule(stage, steps, *facts, lr_name="lr")


@dataclass(frozen=True)
class InvertedStartConfig(TuningConfig):
    """And of methods that start from inverted latents: how much of them, and how they are found.

    noise_prior: their share p of the start's variance, sqrt(p) * inverted + sqrt(1 - p) * noise, in (0, 1].
    inversion_steps: Euler steps of the inversion, by the tuned model with an empty prompt.
    """

    noise_prior: float = 1.0
    inversion_steps: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.noise_prior <= 1, "noise_prior", "in (0, 1]", self.noise_prior)
        require(self.inversion_steps >= 1, "inversion_steps", "at least 1", self.inversion_steps)


# Common to the presets `tiny`: the optimizer that preset `tiny` of followyourmotion has, found on tuning references.
TINY: dict[str, Any] = {
    "lr": 2e-3,
    "weight_decay": 0.01,
    "warmup_steps": 10,
    "lr_schedule": "cosine",
    "gradient_checkpointing": False,
    "guidance": 3.0,
}


def require(ok: bool, name: str, expected: str, value: object) -> None:
    """Raises ConfigError naming the field unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """The fit of one reference: weights as PEFT keys them, and the inverted latents (1, C, F, h, w) if any."""

    method: str
    backbone: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    start: Tensor | None

    def save(self, folder: Path) -> None:
        """Write a PEFT folder with `adapter.json` beside the weights, in full or not at all. Raises StoreError."""
        facts = {"schema": SCHEMA, "method": self.method, "backbone": self.backbone, "config": self.config}
        with new_adapter_folder(folder) as draft:
            attention_lora(self.config["rank"], self.config["lora_scale"]).save_pretrained(str(draft))
            save_file(self.weights, draft / "adapter_model.safetensors", metadata={"format": "pt"})
            if self.start is not None:
                save_file({"start": self.start.contiguous()}, draft / "start.safetensors")
            (draft / MARK).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path, method: str) -> Self:
        """The adapter that `save` wrote. Raises StoreError naming what is missing or of another method."""
        try:
            facts = json.loads((folder / MARK).read_text("utf-8"))
            if facts["schema"] != SCHEMA or facts["method"] != method:
                raise StoreError(f"{folder}: not a {method} adapter of schema {SCHEMA}")
            start = folder / "start.safetensors"
            return cls(
                method,
                facts["backbone"],
                facts["config"],
                load_file(folder / "adapter_model.safetensors"),
                load_file(start)["start"] if start.exists() else None,
            )
        except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
            raise StoreError(f"cannot read an adapter from {folder}: {error!r}") from error


class LoraMethod:
    """A method that tunes LoRAs on all self-attentions; a subclass says how, in `tune`."""

    name: ClassVar[str]
    contract: ClassVar[InputContract]
    Config: ClassVar[type]
    presets: ClassVar[dict[str, dict[str, Any]]]

    def __init__(self, config: Any, setting: Setting, backbone: Backbone) -> None:
        self.config = config
        self.setting = setting
        self.backbone = backbone

    @classmethod
    def create(cls, config: Any, setting: Setting) -> Self:
        """The method on the setting's backbone."""
        return cls(config, setting, registry.load("backbones", setting.backbone)(setting))

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """Add LoRAs to the self-attentions, among them KEPT, and train them; text (1, L, D) is the caption's."""
        raise NotImplementedError

    def fit(self, reference: Clip, caption: str, *, seed: int) -> LoraAdapter:
        """Tune on one reference. Deterministic in (reference, caption, seed). Raises NotFiniteError."""
        backbone, config = self.backbone, self.config
        clip = backbone.prepare(reference)
        text = backbone.encode_text([caption])
        transformer = backbone.transformer
        with lora_host(transformer) as layers, checkpointing(transformer, config.gradient_checkpointing):
            with fixed_randomness(derive_seed(seed, self.name, "dropout"), backbone.device):
                self.tune(layers, clip, text, seed=seed)
            layers.eval()  # no dropout from here on
            activate_lora(layers, [KEPT])
            start = self._invert(clip) if self.contract.start_latent == "inverted" else None
            return LoraAdapter(self.name, backbone.name, asdict(config), lora_weights(layers, KEPT), start)

    def generate(self, adapter: LoraAdapter, prompt: str, *, seed: int) -> Clip:
        """A clip of the prompt that moves as the adapter's reference did. Deterministic in (adapter, prompt, seed)."""
        backbone, config = self.backbone, self.config
        with self.tuned(adapter):
            latents = backbone.sample(
                backbone.encode_text([prompt]),
                seed=derive_seed(seed, "sample"),
                steps=config.sample_steps,
                guidance=config.guidance,
                start=self._start(adapter, derive_seed(seed, "sample")),
                on_step=lambda done, total: self.setting.report("sample", done, total),
            )
        return backbone.decode(latents)

    def load_adapter(self, folder: Path) -> LoraAdapter:
        """The adapter that `save` wrote into a folder. Raises StoreError."""
        return LoraAdapter.load(folder, self.name)

    @contextmanager
    def tuned(self, adapter: LoraAdapter) -> Iterator[Backbone]:
        """The backbone with an adapter's LoRA active; untouched again on leaving."""
        if adapter.backbone != self.backbone.name:
            raise ConfigError(f"adapter of backbone {adapter.backbone} cannot run on {self.backbone.name}")
        with lora_host(self.backbone.transformer) as layers:
            config = attention_lora(adapter.config["rank"], adapter.config["lora_scale"])
            inject_lora(layers, config, KEPT, torch.Generator())
            fill_lora(layers, KEPT, adapter.weights)
            yield self.backbone

    def add_lora(self, layers: nn.ModuleList, name: str, generator: torch.Generator) -> list[nn.Parameter]:
        """A fresh LoRA by the configuration; returns its parameters. All LoRAs are active, only this one is trained."""
        config = attention_lora(self.config.rank, self.config.lora_scale, self.config.dropout)
        return inject_lora(layers, config, name, generator)

    def generator(self, seed: int, stage: str) -> torch.Generator:
        """The source of a stage's random numbers."""
        return torch.Generator().manual_seed(derive_seed(seed, self.name, stage))

    def times(self, batch: int, generator: torch.Generator) -> Tensor:
        """Random training times (B,)."""
        return random_times(self.backbone, batch, generator, self.config.time_density)

    def _invert(self, clip: Clip) -> Tensor:
        backbone = self.backbone
        latents = invert(
            backbone,
            backbone.encode(clip),
            backbone.encode_text([""]),
            steps=self.config.inversion_steps,
            on_step=lambda done, total: self.setting.report("inversion", done, total),
        )
        return latents.cpu()

    def _start(self, adapter: LoraAdapter, seed: int) -> Tensor | None:
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
