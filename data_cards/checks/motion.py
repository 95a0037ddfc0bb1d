"""Motion statistics: how the camera moves, how much of the picture moves on its own, and how fast.

A judge of declared categories, not a metric: dense flow on small frames, a similarity fitted to what most of the frame
does, and what is left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip

Floats = NDArray[np.float32]
CameraClass = Literal["static", "pan", "tilt", "zoom", "roll", "shake", "mixed"]

LONG_SIDE = 192  # of the frames on which flow is computed: the cost does not grow with the clip
STEPS_PER_SECOND = 8  # flow is taken over so long steps, so that the limits below mean the same at any frame rate
MOST_FRAMES = 61  # longer clips get longer steps
STEP = 3  # pixels between the points of the flow field that are looked at
STILL = 0.08  # % of the diagonal per step: below it the camera stands
MOVES = 0.25  # % of the diagonal per step: what an object moves at least against its background
DOMINANT = 0.6  # share of the camera's motion that a single kind must have to name it
SHAKES = 3.0  # path over net displacement from which a translation is called shake
LEAST_AREA = 0.01  # of the frame: smaller patches are noise, not objects
ALIKE = 0.35  # neighbors whose velocities differ by less, relative to the larger, are of one object
SEEN = 0.94  # quantile over time of the number of regions: objects meet and hide each other


@dataclass(frozen=True)
class MotionStatistics:
    """What moves in a clip.

    camera_class; camera_speed: root-mean-square displacement of the background, % of the diagonal per frame.
    moving_area: mean share of the frame, 0..1, that moves against the background. object_speed: its median speed
    against the background, % of the diagonal per frame (0 where nothing moves). objects: regions that move alike, when
    most are seen; a rough count: of 20 rendered clips with one or several objects it was wrong about which for 1.
    """

    camera_class: CameraClass
    camera_speed: float
    moving_area: float
    object_speed: float
    objects: int


def measure_motion(clip: Clip) -> MotionStatistics:
    """The motion statistics of a clip of at least two frames; all speeds are per frame of the clip itself."""
    step = min(max(1, round(clip.fps / STEPS_PER_SECOND), -(-len(clip) // MOST_FRAMES)), len(clip) - 1)
    gray = small_gray(clip.with_frames(clip.frames[::step]))
    diagonal = float(np.hypot(*gray.shape[1:]))
    points, flows, weights = dense_flow(gray)
    models = np.stack([fit_similarity(points, flow, weights) for flow in flows])
    residuals = flows - np.stack([apply_model(points, model) for model in models])
    unit = 100.0 / diagonal  # pixels to % of the diagonal, per step
    rest = np.linalg.norm(residuals, axis=-1) * unit
    least = np.maximum(MOVES, 0.3 * speed_of(points, models) * unit)  # a fast camera leaves more behind
    moving = np.stack([clean(mask) for mask in rest > least[:, None, None]])
    counts = [count_regions(mask, rest) for mask, rest in zip(moving, residuals, strict=True)]
    return MotionStatistics(
        camera_class=name_camera(points, models, unit),
        camera_speed=float(np.sqrt(np.mean(speed_of(points, models) ** 2)) * unit / step),
        moving_area=float(moving.mean()),
        object_speed=float(np.median(rest[moving]) / step) if moving.any() else 0.0,
        objects=int(np.quantile(counts, SEEN, method="lower")),
    )


def small_gray(clip: Clip) -> NDArray[np.uint8]:
    """The frames in gray, (T, h, w), with the longer side LONG_SIDE."""
    import cv2

    scale = LONG_SIDE / max(clip.height, clip.width)
    small = clip.resize(max(16, round(clip.height * scale)), max(16, round(clip.width * scale)))
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small.frames])


def dense_flow(gray: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Points (h, w, 2) from the frame's center, flows (T-1, h, w, 2) there in pixels, and weights (h, w) by texture."""
    import cv2

    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    taken = slice(STEP // 2, None, STEP)
    flows = np.stack([method.calc(a, b, None)[taken, taken] for a, b in pairwise(gray)]).astype(np.float32)
    height, width = gray.shape[1:]
    y, x = np.mgrid[taken.start : height : STEP, taken.start : width : STEP].astype(np.float32)
    points = np.stack([x - (width - 1) / 2, y - (height - 1) / 2], axis=-1)
    texture = np.mean([cv2.cornerMinEigenVal(frame, 9)[taken, taken] for frame in gray[:-1:4]], axis=0)
    return points, flows, (texture > np.quantile(texture, 0.3)).astype(np.float32)


def fit_similarity(points: Floats, flow: Floats, weights: Floats) -> NDArray[np.float64]:
    """(tx, ty, zoom, roll) of the motion that most of the frame follows: flow = t + zoom p + roll rot90(p).

    Iteratively reweighted least squares with a scale that shrinks: a small object does not pull the background along.
    """
    p, f = points.reshape(-1, 2).astype(float), flow.reshape(-1, 2).astype(float)
    one, zero = np.ones(len(p)), np.zeros(len(p))
    rows_x = np.stack([one, zero, p[:, 0], -p[:, 1]], axis=1)
    rows_y = np.stack([zero, one, p[:, 1], p[:, 0]], axis=1)
    rows, wanted = np.concatenate([rows_x, rows_y]), f.T.reshape(-1)
    base = weights.reshape(-1).astype(float) + 1e-3
    model = np.array([*np.median(f, axis=0), 0.0, 0.0])  # the median is a fair start for any camera
    for scale in (4.0, 2.0, 1.0, 0.5, 0.5, 0.5):
        rest = f - np.stack([rows_x @ model, rows_y @ model], axis=1)
        w = base / (1.0 + np.sum(rest**2, axis=1) / scale**2) ** 2  # Geman-McClure
        weighted = rows * np.concatenate([w, w])[:, None]
        model = np.linalg.solve(weighted.T @ rows, weighted.T @ wanted)  # well conditioned: p is centered, base > 0
    return model


def apply_model(points: Floats, model: NDArray[np.float64]) -> Floats:
    """The flow (h, w, 2) of a camera motion (tx, ty, zoom, roll)."""
    x, y = points[..., 0], points[..., 1]
    tx, ty, zoom, roll = model
    return np.stack([tx + zoom * x - roll * y, ty + zoom * y + roll * x], axis=-1).astype(np.float32)


def speed_of(points: Floats, models: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root-mean-square displacement over the frame for each camera motion (T-1, 4), in pixels."""
    radius = np.mean(np.sum(points.astype(float) ** 2, axis=-1))
    return np.asarray(np.sqrt(models[:, 0] ** 2 + models[:, 1] ** 2 + (models[:, 2] ** 2 + models[:, 3] ** 2) * radius))


def name_camera(points: Floats, models: NDArray[np.float64], unit: float) -> CameraClass:
    """The kind of camera motion: static, one kind that dominates, shake (much path, little way), or mixed."""
    if np.sqrt(np.mean(speed_of(points, models) ** 2)) * unit < STILL:
        return "static"
    radius = float(np.sqrt(np.mean(np.sum(points.astype(float) ** 2, axis=-1))))
    path = np.abs(models).sum(axis=0) * [1.0, 1.0, radius, radius]
    net = np.abs(models.sum(axis=0))[:2]
    share = path / path.sum()
    if share[:2].sum() >= DOMINANT and path[:2].sum() > SHAKES * net.sum():
        return "shake"
    kinds: tuple[CameraClass, ...] = ("pan", "tilt", "zoom", "roll")
    return kinds[int(share.argmax())] if share.max() >= DOMINANT else "mixed"


def clean(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without regions of less than LEAST_AREA."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    least = max(2, LEAST_AREA * mask.size)
    keep = [index for index in range(1, count) if stats[index, cv2.CC_STAT_AREA] >= least]
    return np.isin(labels, keep)


def count_regions(mask: NDArray[np.bool_], velocity: Floats) -> int:
    """Regions of a mask (h, w) within which neighbors have much the same velocity (h, w, 2), small ones left out."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    index = np.arange(mask.size).reshape(mask.shape)
    speed = np.linalg.norm(velocity, axis=-1)
    edges = []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        gap = np.linalg.norm(velocity[a] - velocity[b], axis=-1)
        joined = mask[a] & mask[b] & (gap < ALIKE * np.maximum(speed[a], speed[b]))
        edges.append(np.stack([index[a][joined], index[b][joined]]))
    start, end = np.concatenate(edges, axis=1)
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(mask.size, mask.size))
    count, labels = connected_components(graph, directed=False)
    sizes = np.bincount(labels[mask.ravel()], minlength=count)
    return int((sizes >= LEAST_AREA * mask.size).sum())
