"""Configuration of Follow-Your-Motion: every constant of the paper and of the released code has a name here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require, setting

from ..tuning.config import TINY_LORA, TINY_STAGES


@dataclass(frozen=True)
class Config:
    """All settings of a fit; the defaults are preset `paper`. On backbone `tiny` the preset of that name applies.

    In the order of the work: heads, LoRA, training of both stages, temporal stage, sampling.
    """

    head_rule: Literal["paper", "released", "inverted", "random"] = setting(
        "paper",
        "by cosine similarities, by attention mass; the last two are controls for studies (see `heads`)",
    )
    head_alpha: float = setting(1.25, "of rule `paper`: temporal iff S_spatial < head_alpha * S_temporal")
    head_ratio: float = setting(1.3, "of rule `released`: temporal iff w_t >= head_ratio * w_s")
    head_times: tuple[float, ...] = setting((0.25, 0.5, 0.75), "flow times in (0, 1] at which maps are read")
    head_draws: int = setting(1, "noise draws at each time")
    decouple: bool = setting(True, "no: one LoRA on all heads, for spatial_steps + temporal_steps")

    rank: int = setting(128, "of the LoRAs")
    lora_scale: float = setting(1.0, "alpha / rank")
    isolate_norm: bool = setting(
        False, "q and k keep the untouched model's norm: a LoRA on one head leaves other heads alone"
    )

    spatial_steps: int = setting(3000, "of the spatial stage")
    temporal_steps: int = setting(2000, "of the temporal stage")
    spatial_batch: int = setting(1, "single frames a step")
    temporal_batch: int = setting(1, "clips a step")
    spatial_lr: float = setting(1e-4, "learning rate")
    temporal_lr: float = setting(1e-4, "learning rate")
    spatial_weight_decay: float = setting(0.1, "of AdamW")
    temporal_weight_decay: float = setting(0.5, "of AdamW")
    warmup_steps: int = setting(0, "linear, at the start of a stage")
    lr_schedule: Literal["constant", "cosine"] = setting("constant", "after the warmup")
    max_grad_norm: float = setting(1.0, "0 turns clipping off")
    time_density: Literal["logit_normal", "uniform"] = setting("logit_normal", "of the training times")
    spatial_shift: float | None = setting(None, "moves training times toward noise; none: the backbone's own")
    temporal_shift: float | None = setting(None, "moves training times toward noise; none: the backbone's own")
    temporal_time_min: float = setting(
        0.0, "the temporal stage sees times in [it, 1]: motion is settled in noise (0 in the paper)"
    )
    frozen_weights: Literal["unchanged", "float8"] = setting(
        "unchanged",
        "while tuning; `float8` rounds those of large products, which large GPUs do in less time",
        later=True,
    )
    gradient_checkpointing: bool = setting(True, "recompute activations: memory for time")

    sparse: bool = setting(True, "the temporal stage takes only sparse_frames of the clip")
    sparse_frames: int = setting(17, "4k + 1")
    frame_choice: Literal["uniform", "offset", "stratified"] = setting(
        "uniform", "`uniform`: both ends, equal stride; `offset`: random start; `stratified`: random in each stride"
    )
    frame_draws: int = setting(8, "random choices drawn before training")
    adaptive_rope: bool = setting(True, "sparse frames keep their places on the clip's time axis")
    rope_positions: Literal["paper", "true_indices"] = setting(
        "paper", "`paper`: i * F / F_samp; or the frames' `true_indices`"
    )
    motion_loss: bool = setting(True, "add L_motion")
    motion_weight: float = setting(1.0, "of L_motion")
    motion_axis: Literal["frame", "channel", "time"] = setting("frame", "over which its cosine runs (see `losses`)")

    branches_at_inference: Literal["both", "temporal"] = setting("both", "the LoRAs that act while sampling")
    active_share: float = setting(1.0, "of the steps, from noise on, in which they act (1 in the paper)")
    sample_steps: int | None = setting(None, "of sampling; none: the backbone's own")
    guidance: float | None = setting(None, "classifier-free guidance; none: the backbone's own")

    def __post_init__(self) -> None:
        for name in ("rank", "spatial_batch", "temporal_batch", "head_draws", "frame_draws"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("spatial_steps", "temporal_steps", "warmup_steps", "max_grad_norm", "motion_weight"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        for name in ("spatial_lr", "temporal_lr", "lora_scale", "head_alpha", "head_ratio"):
            require(getattr(self, name) > 0, name, "positive", getattr(self, name))
        for name in ("active_share", "temporal_time_min"):
            require(0 <= getattr(self, name) <= 1, name, "in [0, 1]", getattr(self, name))
        require(
            bool(self.head_times) and all(0 < t <= 1 for t in self.head_times),
            "head_times",
            "times in (0, 1]",
            self.head_times,
        )
        require(
            self.sparse_frames >= 5 and self.sparse_frames % 4 == 1,
            "sparse_frames",
            "4k + 1 and at least 5, as Wan's VAE takes them",
            self.sparse_frames,
        )


# The paper names no optimizer constants; learning rate and weight decay of the defaults are the released code's.
RELEASED: dict[str, Any] = {
    "rank": 16,
    "spatial_steps": 1500,
    "temporal_steps": 1500,
    "head_rule": "released",
    "head_times": (0.999,),  # index 1 of the 1000 training times: almost pure noise
    "sparse": False,  # absent from the released code, as adaptive RoPE is (`time_scale=1` is hard-coded)
    "adaptive_rope": False,
    "motion_axis": "time",
}
_COMMON = {key: value for key, value in TINY_LORA.items() if key not in ("lr", "weight_decay")}
TINY: dict[str, Any] = (
    _COMMON
    | TINY_STAGES
    | {
        # A head that attends evenly has a ratio of sqrt(cells / (frames - 1)), here 2; below it, a head looks along
        # time more than that. At 1.25 a third of the heads is temporal when a camera moves, at 2 three fifths are.
        "head_alpha": 2.0,
        "temporal_steps": 220,  # quick turns are learned late: 110 steps lose a figure eight
        "frame_choice": "stratified",  # at long last every frame is seen, at the price of nine
        "spatial_lr": 2e-3,
        "temporal_lr": TINY_LORA["lr"],
        "spatial_weight_decay": TINY_LORA["weight_decay"],
        "temporal_weight_decay": TINY_LORA["weight_decay"],
        "temporal_time_min": 0.5,  # all steps go where motion is settled: three fifths of the steps do as well
        "sparse_frames": 9,
        "rope_positions": "true_indices",  # whole numbers: the paper's formula would play 9 of 17 frames 6% too fast
        "active_share": 0.6,  # the untouched model draws texture; with both branches to the end it boils
    }
)
# As many single frames as the paper's 3000 steps, in batches that fill a large GPU. Adam's steps do not grow as the
# gradient's noise falls, and there are 16 times fewer of them, so the rate rises, by the root of the batch.
BATCHED: dict[str, Any] = {"spatial_batch": 16, "spatial_steps": 188, "spatial_lr": 4e-4}
PRESETS: dict[str, dict[str, Any]] = {"paper": {}, "paper_batched": BATCHED, "released": RELEASED, "tiny": TINY}
