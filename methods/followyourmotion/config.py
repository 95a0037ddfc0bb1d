"""Configuration of Follow-Your-Motion: every constant of the paper and of the released code has a name here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require

from ..tuning.config import TINY_LORA, TINY_STAGES


@dataclass(frozen=True)
class Config:
    """All settings of a fit; the defaults are preset `paper`. On backbone `tiny` the preset of that name applies.

    Heads. head_rule: `paper` (cosine similarities, temporal iff S_spatial < head_alpha * S_temporal) or `released`
    (attention mass, temporal iff w_t >= head_ratio * w_s); `inverted` and `random` are controls of the idea (see
    `heads`), for studies. head_times: flow times in (0, 1] at which maps are read;
    head_draws: noise draws at each. decouple: False trains one LoRA on all heads, for spatial_steps + temporal_steps.

    LoRA. rank; lora_scale: alpha / rank. isolate_norm: q and k are normalized with the statistics of the untouched
    model, so that a LoRA on one head leaves the others' q and k alone (not in the paper).

    Training. *_steps, *_batch, *_lr, *_weight_decay of either stage; warmup_steps: linear, then lr_schedule `constant`
    or `cosine`; max_grad_norm: 0 turns clipping off. time_density: `logit_normal` or `uniform`; *_shift moves times
    toward noise (None: the backbone's own); temporal_time_min: the temporal stage sees times in [it, 1] only, since
    motion is settled in noise (0 in the paper). gradient_checkpointing trades time for memory.

    Temporal stage. sparse: sparse_frames (4k + 1) of the clip's frames are used, chosen by frame_choice: `uniform`
    (both ends, equal stride), `offset` (equal stride, random start) or `stratified` (random in each stride), the last
    two drawn frame_draws times before training. adaptive_rope: they keep their places on the clip's time axis, by
    rope_positions `paper` (i * F / F_samp) or `true_indices`. motion_loss: L_motion is added, motion_weight times,
    with its cosine over motion_axis (see `losses`).

    Sampling. branches_at_inference: `both` or `temporal`; active_share: the share of the steps, from noise on, in which
    they are active (1 in the paper). sample_steps, guidance: None takes the backbone's own.
    """

    head_rule: Literal["paper", "released", "inverted", "random"] = "paper"
    head_alpha: float = 1.25
    head_ratio: float = 1.3
    head_times: tuple[float, ...] = (0.25, 0.5, 0.75)
    head_draws: int = 1
    decouple: bool = True

    rank: int = 128
    lora_scale: float = 1.0
    isolate_norm: bool = False

    spatial_steps: int = 3000
    temporal_steps: int = 2000
    spatial_batch: int = 1
    temporal_batch: int = 1
    spatial_lr: float = 1e-4
    temporal_lr: float = 1e-4
    spatial_weight_decay: float = 0.1
    temporal_weight_decay: float = 0.5
    warmup_steps: int = 0
    lr_schedule: Literal["constant", "cosine"] = "constant"
    max_grad_norm: float = 1.0
    time_density: Literal["logit_normal", "uniform"] = "logit_normal"
    spatial_shift: float | None = None
    temporal_shift: float | None = None
    temporal_time_min: float = 0.0
    gradient_checkpointing: bool = True

    sparse: bool = True
    sparse_frames: int = 17
    frame_choice: Literal["uniform", "offset", "stratified"] = "uniform"
    frame_draws: int = 8
    adaptive_rope: bool = True
    rope_positions: Literal["paper", "true_indices"] = "paper"
    motion_loss: bool = True
    motion_weight: float = 1.0
    motion_axis: Literal["frame", "channel", "time"] = "frame"

    branches_at_inference: Literal["both", "temporal"] = "both"
    active_share: float = 1.0
    sample_steps: int | None = None
    guidance: float | None = None

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
