"""The metrics as torchmetrics.Metric: batches of clips in, a mean out, across steps and processes.

Each value is that of the metric of the same name on one pair of clips, made comparable as `motionbench score` does it;
`compute` is their plain mean, of distances from 0 where 0 is ideal. What cannot be measured is left out of the mean and
counted in `missing`, on every process. Published results come from `motionbench score`, which averages by reference and
category.

Examples:
    In a training loop.

    >>> import torch
    >>> from motionbench.metrics.torchmetrics import MotionFidelity
    >>> metric = MotionFidelity(tracker="lk")
    >>> clips = torch.zeros(2, 4, 3, 32, 32, dtype=torch.uint8)  # (B, T, C, H, W)
    >>> metric.update(clips, clips)  # nothing moves in the references
    >>> metric.compute(), int(metric.measured), int(metric.missing)
    (tensor(nan, dtype=torch.float64), 0, 2)
    >>> dict(metric.reasons)
    {'static reference': 2}
"""

from __future__ import annotations

from .clip_metric import ClipMetric

__all__ = [
    "AppearanceLeak",
    "BackgroundLpips",
    "CameraAgreement",
    "ClipMetric",
    "DynamicDegree",
    "MotionFidelity",
    "MotionFidelityDet",
    "MotionFidelityReleased",
    "MotionFidelitySmm",
    "MotionSmoothness",
    "SpeedRatio",
    "TemporalConsistency",
    "TemporalConsistencyEfficientnet",
    "TemporalGap",
    "TemporalGapEfficientnet",
    "TextAlignment",
    "TextAlignmentB32",
    "TextAlignmentL14",
    "TrajectoryError",
]


class MotionFidelity(ClipMetric):
    """Headline: likeness of motion to the reference, 1 same, 0 still, -1 opposite."""

    metric = "motion_fidelity"


class MotionFidelitySmm(ClipMetric):
    """Motion fidelity by the formula of SMM's paper, for comparison with published tables."""

    metric = "motion_fidelity_smm"


class MotionFidelityReleased(ClipMetric):
    """Motion fidelity by the script released with SMM, for comparison with published tables."""

    metric = "motion_fidelity_released"


class MotionFidelityDet(ClipMetric):
    """Motion fidelity by DeT's cosine, for comparison with published tables."""

    metric = "motion_fidelity_det"


class CameraAgreement(ClipMetric):
    """Likeness of the camera's pan, tilt, zoom and roll to the reference's."""

    metric = "camera_agreement"


class SpeedRatio(ClipMetric):
    """log2 of the path length of moving tracks over the reference's; 0 is ideal."""

    metric = "speed_ratio"


class MotionSmoothness(ClipMetric):
    """log2 of the tracks' jerk over the reference's; 0 is ideal, above 0 is shakier."""

    metric = "motion_smoothness"


class DynamicDegree(ClipMetric):
    """Speed of the fastest 5% of tracks, in percent of the diagonal per frame."""

    metric = "dynamic_degree"


class TrajectoryError(ClipMetric):
    """Distance of moving things to the ground truth beside `reference_paths`, in percent of the diagonal."""

    metric = "trajectory_error"


class TextAlignment(ClipMetric):
    """Mean cosine between frames and `prompt`, by the image-text model for the references' footage."""

    metric = "text_alignment"


class TextAlignmentB32(ClipMetric):
    """Mean cosine between frames and `prompt`, by OpenAI's CLIP ViT-B/32; needs weights."""

    metric = "text_alignment_b32"


class TextAlignmentL14(ClipMetric):
    """Mean cosine between frames and `prompt`, by OpenAI's CLIP ViT-L/14; needs weights."""

    metric = "text_alignment_l14"


class TemporalConsistency(ClipMetric):
    """Mean cosine of neighboring frames' embeddings; a frozen clip scores 1."""

    metric = "temporal_consistency"


class TemporalGap(ClipMetric):
    """Temporal consistency minus the reference's; 0 is ideal."""

    metric = "temporal_gap"


class TemporalConsistencyEfficientnet(ClipMetric):
    """Mean cosine of neighboring frames' ImageNet features; a frozen clip scores 1; needs `[efficientnet]`."""

    metric = "temporal_consistency_efficientnet"


class TemporalGapEfficientnet(ClipMetric):
    """Consistency by ImageNet features minus the reference's; 0 is ideal; needs the extra `[efficientnet]`."""

    metric = "temporal_gap_efficientnet"


class AppearanceLeak(ClipMetric):
    """Leaning to the reference's `caption` instead of the `prompt`: 0 not at all, 1 as the reference does."""

    metric = "appearance_leak"


class BackgroundLpips(ClipMetric):
    """Perceptual distance of the backgrounds under a still camera; needs the extra `[lpips]`."""

    metric = "background_lpips"
