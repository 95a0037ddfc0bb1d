"""Comparing what two groups of tracks do: their mean course, and what moves within, over their normalized layouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .motion_parts import Group
from .motion_signals import all_seen, amplitude, lags, likeness, sum_over, sums_over_time
from .track_matching import MOVING_RANGE, Array

_KERNEL = 0.35  # of a group's radius: how far apart two places on a thing may lie and still be compared
_LEAST_COHERENCE = 0.05  # so that a clip in which nothing moves coherently can still be compared with itself
_MAX_PLACES = 48  # per side, at which two groups' fields are compared


@dataclass(frozen=True)
class GroupPair:
    """Likeness of two groups' motion: of the whole fields, of their mean courses, and of what moves within.

    courses, inners: the amplitudes of both sides, in diagonals.
    """

    similarity: float
    course: float
    courses: tuple[float, float]
    inner: float
    inners: tuple[float, float]


def compare_groups(a: Group, b: Group) -> GroupPair:
    """Likeness of two groups' motion fields over their normalized layouts, each in [-1, 1], symmetric.

    Both fields are smoothed by the same kernel and read at the same places (those of both groups' tracks), so neither
    the number of tracks nor the size or place of the thing matters; its parts are compared with the same parts.
    """
    places = np.concatenate([_places(a), _places(b)])
    fa, wa = _field(a, places)
    fb, wb = _field(b, places)
    # both sides count alike, however many places each gave
    side = np.repeat([0.5 / len(_places(a)), 0.5 / len(_places(b))], [len(_places(a)), len(_places(b))])
    (ca, ia), (cb, ib) = _split_field(fa, wa, side), _split_field(fb, wb, side)
    va, vb = wa.max(0, keepdims=True), wb.max(0, keepdims=True)
    return GroupPair(
        similarity=likeness(fa, wa, fb, wb, side),
        course=likeness(ca, va, cb, vb),
        courses=(amplitude(ca, va), amplitude(cb, vb)),
        inner=likeness(ia, wa, ib, wb, side),
        inners=(amplitude(ia, wa, side), amplitude(ib, wb, side)),
    )


def _split_field(field: Array, weights: Array, side: Array) -> tuple[Array, Array]:
    """The mean course (1, T-1, 2) of a field (P, T-1, 2), and what is left, faded where it is no more than noise."""
    w = weights * side[:, None]
    course = (field * w[..., None]).sum(0, keepdims=True) / np.maximum(w.sum(0), 1e-12)[:, None]
    inner = (field - course) * weights[..., None]
    reach = np.sqrt(((np.cumsum(inner, axis=1) ** 2).sum(-1) * side[:, None]).sum(0).max(initial=0.0))
    return course, inner * np.clip(reach / MOVING_RANGE - 1, 0, 1)


def _places(group: Group) -> Array:
    n = len(group)
    if n <= _MAX_PLACES:
        return group.layout
    chosen: Array = group.layout[np.linspace(0, n - 1, _MAX_PLACES).round().astype(int)]
    return chosen


def _field(group: Group, places: Array) -> tuple[Array, Array]:
    """Steps (P, T-1, 2) and validity (P, T-1) of the group's smoothed field at places (P, 2)."""
    square = ((places[:, None] - group.layout[None]) ** 2).sum(-1)
    kernel = np.exp(-(square - square.min(1, keepdims=True)) / (2 * _KERNEL**2))
    mass = kernel @ group.weights
    steps = np.einsum("pn,ntc->ptc", kernel, group.steps) / np.maximum(mass, 1e-9)[..., None]
    return steps, (mass > 0.05 * kernel.sum(1, keepdims=True)).astype(float)


def coherence(group: Group) -> float:
    """How well each track of a group moves as its neighbors on the thing do, in [`_LEAST_COHERENCE`, 1].

    Tracks of a thing do; tracks that a tracker lost under a moving camera, or that something dragged along for a while,
    are each lost in their own way. What moves incoherently weighs less, on either side.
    """
    kernel = _kernel(group.layout, group.layout)
    np.fill_diagonal(kernel, 0)
    mass = kernel @ group.weights
    others = np.einsum("pn,ntc->ptc", kernel, group.steps) / np.maximum(mass, 1e-12)[..., None]
    valid = (mass > 1e-6).astype(float)
    return max(likeness(group.steps, group.weights, others, valid), _LEAST_COHERENCE)


def _kernel(places: Array, layout: Array) -> Array:
    square = ((places[:, None] - layout[None]) ** 2).sum(-1)
    kernel: Array = np.exp(-square / (2 * _KERNEL**2))
    return kernel


def scatter_likeness(g: Group, r: Group) -> float:
    cross = np.zeros((len(g), len(r)))
    energy_g, energy_r = np.zeros(len(g)), np.zeros(len(r))
    paths = [sums_over_time(x) for x in (g.steps, g.weights, r.steps, r.weights)]
    for lag in lags(g.steps.shape[1]):
        dg, wg, dr, wr = (sum_over(path, lag) for path in paths)
        scale = 1 / (lag**2 * dg.shape[1])
        flat_g, flat_r = ((d * all_seen(w, lag)[..., None]).reshape(len(d), -1) for d, w in ((dg, wg), (dr, wr)))
        cross += scale * flat_g @ flat_r.T
        energy_g += scale * (flat_g**2).sum(1)
        energy_r += scale * (flat_r**2).sum(1)
    rows, columns = linear_sum_assignment(cross, maximize=True)
    total = energy_g.sum() + energy_r.sum()
    return float(2 * cross[rows, columns].sum() / total) if total > 0 else 0.0
