"""The metrics as functions: arrays in, a float out, or None where nothing can be measured. No files, models or state.

Tracks are points (N, T, 2), x then y, in pixels of frames of `size` = (height, width); `visible` is a pair of (N, T)
masks, of the generated and the reference clip, and without it every point is seen. Both clips have the same size; N
and T may differ. Embeddings are unit vectors: (T, D) of frames, (D,) of a text. The classes that read clips and keep
records are in the modules of the metrics' names; `motionbench.metrics.torchmetrics` has them as torchmetrics.Metric.

Examples:
    Fifty points that all drift to the lower right for 17 frames.

    >>> import numpy as np
    >>> from motionbench.metrics import functional as F
    >>> starts = np.random.default_rng(0).uniform(8, 40, (50, 1, 2))
    >>> drift = starts + np.arange(17)[:, None] * [1.0, 0.5]
    >>> round(F.motion_fidelity(drift, drift, (64, 64)), 3)
    1.0
    >>> round(F.motion_fidelity(drift[:, ::-1], drift, (64, 64)), 3)  # played backwards
    -1.0
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import legacy
from . import motion_fidelity as headline
from . import track_matching as matching
from . import track_statistics as statistics
from .appearance import leak_share
from .arrays import Size, Visible, to_embeddings, to_motions, to_steps, to_track_pair, to_tracks
from .camera_agreement import camera_likeness
from .camera_motion import fit_camera
from .temporal import consecutive_cosine
from .text_alignment import mean_text_cosine
from .track_matching import tracks_to_motion
from .track_windows import tracks_to_windows
from .trajectory_error import course_errors, thing_courses

__all__ = [
    "appearance_leak",
    "camera_agreement",
    "dynamic_degree",
    "motion_fidelity",
    "motion_fidelity_det",
    "motion_fidelity_released",
    "motion_fidelity_smm",
    "motion_smoothness",
    "speed_ratio",
    "temporal_consistency",
    "temporal_gap",
    "text_alignment",
    "trajectory_error",
]


def motion_fidelity(generated: ArrayLike, reference: ArrayLike, size: Size, *, visible: Visible = None) -> float | None:
    """Likeness of motion in [-1, 1]: 1 same, 0 still, -1 opposite; None if the reference does not move, or if too few
    tracks of either clip are seen.

    The formula is `motionbench.metrics.motion_fidelity.motion_fidelity`. The metric itself tracks a fresh grid of
    points in each window of a clip; here the windows see what is left of the tracks that are given.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [1.0, 0.5]
        >>> still = np.repeat(points[:, :1], 17, axis=1)
        >>> motion_fidelity(still, points, (64, 64)), motion_fidelity(points, still, (64, 64))
        (0.0, None)
    """
    made, true = to_track_pair(generated, reference, size, visible)
    windows = tracks_to_windows(made, true)
    if headline.lacking_support(windows):
        return None
    value = headline.clip_fidelity(windows, (tracks_to_motion(made), tracks_to_motion(true)))[0]
    return None if value is None else float(value)


def motion_fidelity_smm(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """Mean best match of directions, both ways, in [-1, 1]; None without tracks or steps. As SMM's paper has it.

    Source: Yatim et al., arXiv:2311.17009, Section 5.1; see `motionbench.metrics.legacy.smm_fidelity`.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [1.0, 0.5]
        >>> round(motion_fidelity_smm(points, points), 4)
        1.0
    """
    made, true = to_steps(generated), to_steps(reference)
    return None if made is None or true is None else legacy.smm_fidelity(made, true)[0]


def motion_fidelity_released(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """The script released with SMM to the letter, identity term and all; None without tracks or steps.

    Raises ShapeError if the two have other numbers of tracks or frames: the script fails there too.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).normal(0, 1, (40, 17, 2)).cumsum(axis=1)
        >>> motion_fidelity_released(points, points) < 0.6  # two equal clips
        True
    """
    made, true = to_steps(generated), to_steps(reference)
    return None if made is None or true is None else legacy.released_fidelity(made, true)[0]


def motion_fidelity_det(generated: ArrayLike, reference: ArrayLike, size: Size) -> float | None:
    """DeT's cosine, the first position counted as a step, in [-1, 1]; None without tracks or steps.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [1.0, 0.5]
        >>> round(motion_fidelity_det(points, points, (64, 64)), 4)
        1.0
    """
    if to_steps(generated) is None or to_steps(reference) is None:
        return None
    return legacy.det_fidelity(to_tracks(generated, size, None), to_tracks(reference, size, None))[0]


def camera_agreement(
    generated: ArrayLike, reference: ArrayLike, size: Size, *, visible: Visible = None
) -> float | None:
    """Likeness of pan, tilt, zoom and roll in [-1, 1]; None with one frame, or where most tracks share no motion.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [1.0, 0.5]
        >>> still = np.repeat(points[:, :1], 17, axis=1)
        >>> round(camera_agreement(points, points, (64, 64)), 3), round(camera_agreement(still, points, (64, 64)), 3)
        (1.0, 0.06)
    """
    made, true = to_motions(generated, reference, size, visible)
    frames = min(made.points.shape[1], true.points.shape[1])
    if frames < 2:
        return None
    fits = [fit_camera(matching.resample_motion(motion, frames)) for motion in (made, true)]
    return camera_likeness(fits[0].signal, fits[1].signal) if all(fit.consensus for fit in fits) else None


def speed_ratio(generated: ArrayLike, reference: ArrayLike, size: Size, *, visible: Visible = None) -> float | None:
    """log2 of the median path length of moving tracks over the reference's; None if nothing moves in the reference.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [1.0, 0.5]
        >>> round(speed_ratio(points[:, :1] + 2 * (points - points[:, :1]), points, (64, 64)), 3)
        1.0
    """
    return statistics.speed_ratio(*to_motions(generated, reference, size, visible))


def motion_smoothness(
    generated: ArrayLike, reference: ArrayLike, size: Size, *, visible: Visible = None
) -> float | None:
    """log2 of the tracks' jerk over the reference's, above 0 is shakier; None if no track is seen for four frames.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [1.0, 0.5]
        >>> shaken = points + np.random.default_rng(1).normal(0, 0.2, points.shape)
        >>> motion_smoothness(shaken, points, (64, 64)) > 3
        True
    """
    return statistics.motion_smoothness(*to_motions(generated, reference, size, visible))


def dynamic_degree(generated: ArrayLike, size: Size, *, visible: ArrayLike | None = None) -> float | None:
    """Mean speed of the fastest 5% of tracks, in percent of the diagonal per frame; None without a step that is seen.

    Examples:
        >>> import numpy as np
        >>> points = np.random.default_rng(0).uniform(8, 40, (50, 1, 2)) + np.arange(17)[:, None] * [0.9, 0.0]
        >>> round(dynamic_degree(points, (64, 64)), 3)
        0.994
    """
    return statistics.dynamic_degree(tracks_to_motion(to_tracks(generated, size, visible)))


def trajectory_error(generated: ArrayLike, truth: ArrayLike, size: Size, *, visible: Visible = None) -> float | None:
    """Mean distance of moving things to where the ground truth has them, % of the diagonal; None if it has none.

    Examples:
        >>> import numpy as np
        >>> scene = np.random.default_rng(0).uniform(4, 60, (300, 1, 2)) + np.zeros((17, 1))
        >>> thing = (abs(scene[:, 0] - 20) < 8).all(axis=1)
        >>> scene[thing] += np.arange(17)[:, None] * [1.0, 0.5]
        >>> round(trajectory_error(scene, scene, (64, 64)), 3)
        0.0
    """
    made, true = to_motions(generated, truth, size, visible)
    frames = min(made.points.shape[1], true.points.shape[1])
    wanted = thing_courses(matching.resample_motion(true, frames))
    if not wanted:
        return None
    return 100 * float(np.mean(course_errors(thing_courses(matching.resample_motion(made, frames)), wanted)[0]))


def text_alignment(frames: ArrayLike, text: ArrayLike) -> float:
    """Mean cosine of frames (T, D) and a text (D,), in [-1, 1].

    Examples:
        >>> round(text_alignment([[1.0, 0.0], [0.6, 0.8]], [1.0, 0.0]), 3)
        0.8
    """
    return mean_text_cosine(to_embeddings(frames, 2), to_embeddings(text, 1))


def temporal_consistency(frames: ArrayLike) -> float | None:
    """Mean cosine of neighboring frames (T, D), in [-1, 1]: 1 for a frozen clip; None for one frame.

    Examples:
        >>> round(temporal_consistency([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]), 3)
        0.8
    """
    embedded = to_embeddings(frames, 2)
    return consecutive_cosine(embedded) if len(embedded) > 1 else None


def temporal_gap(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """Temporal consistency minus the reference's: 0 is ideal, above 0 is too still; None if either has one frame.

    Examples:
        >>> round(temporal_gap([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.6, 0.8]]), 3)
        0.4
    """
    made, true = temporal_consistency(generated), temporal_consistency(reference)
    return None if made is None or true is None else made - true


def appearance_leak(generated: ArrayLike, reference: ArrayLike, prompt: ArrayLike, caption: ArrayLike) -> float | None:
    """Leaning to the reference's words instead of the prompt's, 1 as the reference does; None if nothing could leak.

    Examples:
        >>> prompt, caption = [1.0, 0.0], [0.0, 1.0]
        >>> appearance_leak([caption] * 3, [caption] * 3, prompt, caption)
        1.0
        >>> appearance_leak([prompt] * 3, [caption] * 3, prompt, caption)
        0.0
    """
    frames = to_embeddings(generated, 2), to_embeddings(reference, 2)
    return leak_share(*frames, to_embeddings(prompt, 1), to_embeddings(caption, 1))
