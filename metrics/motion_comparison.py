"""Comparing what moves in two clips: part by part, or as one field, whichever explains both best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from . import track_matching as tm
from .group_comparison import coherence, compare_groups, scatter_likeness
from .motion_field import MotionField, field_likeness, motion_to_field
from .motion_parts import Group, MotionParts, motion_to_parts
from .motion_signals import amplitude, likeness
from .track_matching import MOVING_RANGE, Array, Motion

LEAST_TRACKS = 0.05  # of the points that were to be followed: fewer would be noise, or one thing taken for the whole
_HALF_SUPPORT = 0.01  # of all tracks
_REVERSED_PAIR = 0.7  # worth of an opposite motion as evidence that two groups correspond


@dataclass(frozen=True)
class Part:
    """One compared part; similarity in [-1, 1], weight = the larger amplitude.

    kind: `camera`; `course` and `inner` (mean motion of a pair of groups, and what moves within them); `group` (one
    without partner); `scatter`; `field` (all that moves, in place). support: tracks (of a field: places that are seen)
    in the generated clip and in the reference; 0 = no partner.
    """

    kind: str
    similarity: float
    weight: float
    support: tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """One window's likeness in [-1, 1] and the parts it is the weighted mean of.

    weight: how far the whole field goes over all steps, in diagonals, in the clip that moves more. reach: the same of
    the reference. moves: whether anything in the reference goes beyond what counts as still.
    """

    value: float
    parts: list[Part]
    weight: float
    reach: float
    moves: bool


def compare_motions(generated: Motion, reference: Motion) -> Reading:
    """The likeness of two motions under the reading by which they explain each other best (largest absolute value).

    Every part is a velocity signal. Likeness of two: 2 <g, r> / (<g, g> + <r, r>), where the product sums displacements
    over 2, 4 and 8 steps, as far as the motion goes (each divided by its length): 1 for equal, cos(angle) for rotated,
    2s/(1+s^2) for s times as far, 0 against stillness, -1 for opposite.

    Read by parts, size and place drop out. Parts: the camera (pan, tilt, zoom, roll as a flow field); of each
    pair of groups of tracks that stay together, the mean course relative to the camera, and what moves within (the rest
    of its field, over its own normalized layout); and all scattered tracks as one. Groups are paired one to one; a part
    without partner counts 0 with its full weight, whichever side it is on: unwanted drift and missing objects cost.
    No one link length of groups suits all clips, so each is tried. Read as one field, in place, nothing is fitted or
    grouped: this holds where parallax or a turning ground fit no camera, where things do not part from the scene, and
    where tracks are lost too soon to be told apart; of such a clip nothing else is read.
    """
    motions = _of_equal_length(generated, reference)
    fields = [motion_to_field(motion) for motion in motions]
    reaches = [field.amplitude * field.steps.shape[1] for field in fields]
    value, parts = _strongest([*_part_readings(*motions), _field_reading(*fields)])
    return Reading(value, parts, max(reaches), reaches[1], _moves(motion_to_parts(motions[1])[0]))


def compare_parts(generated: Motion, reference: Motion) -> tuple[float, list[Part]]:
    """The strongest likeness of two motions by parts alone, in [-1, 1], and the parts; (0, []) where there are none."""
    return _strongest(list(_part_readings(*_of_equal_length(generated, reference))))


def _of_equal_length(generated: Motion, reference: Motion) -> tuple[Motion, Motion]:
    frames = min(generated.points.shape[1], reference.points.shape[1])
    return tm.resample_motion(generated, frames), tm.resample_motion(reference, frames)


def _strongest(readings: Sequence[list[Part]]) -> tuple[float, list[Part]]:
    """The weighted mean over parts that is furthest from 0, the first of equals, and its parts."""
    best: tuple[float, list[Part]] = (0.0, [])
    for parts in readings:
        total = sum(part.weight for part in parts)
        value = sum(part.weight * part.similarity for part in parts) / total if total > 0 else 0.0
        if not best[1] or abs(value) > abs(best[0]) + 1e-9:
            best = (value, parts)
    return best


def _part_readings(generated: Motion, reference: Motion) -> Iterator[list[Part]]:
    """The parts under each grouping of tracks; none where one clip has a camera and the other's could not be told, or
    where hardly any track lasts."""
    known = set()
    lasting = all(len(motion.points) >= LEAST_TRACKS * motion.asked for motion in (generated, reference))
    for g, r in zip(motion_to_parts(generated), motion_to_parts(reference), strict=True) if lasting else ():
        grouping = _grouping(g), _grouping(r)
        if grouping in known or (g.camera.consensus == 0) != (r.camera.consensus == 0):
            continue
        known.add(grouping)  # another link length may come to the same groups
        yield [part for part in _compare(g, r) if part.weight > 0]


def _field_reading(g: MotionField, r: MotionField) -> list[Part]:
    support = tuple(int(field.seen.any(axis=1).sum()) for field in (g, r))
    return [Part("field", field_likeness(g, r), max(g.amplitude, r.amplitude), (support[0], support[1]))]


def _grouping(parts: MotionParts) -> tuple[bytes, ...]:
    """Which tracks belong together; those of no group are all the others that move."""
    return tuple(group.index.tobytes() for group in parts.groups)


def _compare(g: MotionParts, r: MotionParts) -> list[Part]:
    return [_camera_part(g, r), *_group_parts(g, r), *_scatter_part(g, r)]


def _moves(parts: MotionParts) -> bool:
    return parts.n_moving > 0 or bool(np.any(_camera_signal(parts)))


def _camera_signal(parts: MotionParts) -> Array:
    """(1, T-1, 4) the camera's signal, faded to exactly 0 where its whole path stays within what counts as still."""
    signal = parts.camera.signal
    if not len(signal):
        return signal[None]
    reach = float(np.linalg.norm(np.cumsum(signal, axis=0), axis=1).max())
    faded: Array = signal * np.clip(reach / MOVING_RANGE - 1, 0, 1)
    return faded[None]


def _camera_part(g: MotionParts, r: MotionParts) -> Part:
    a, b = _camera_signal(g), _camera_signal(r)
    wa, wb = g.camera.seen[None].astype(float), r.camera.seen[None].astype(float)
    return Part("camera", likeness(a, wa, b, wb), max(amplitude(a, wa), amplitude(b, wb)), (g.n_tracks, r.n_tracks))


def _group_parts(g: MotionParts, r: MotionParts) -> list[Part]:
    """One part per pair of groups, and one per group without partner."""
    share_g, share_r = _grouped_share(g), _grouped_share(r)
    known_g = [share_g * _support(x, g.n_tracks) for x in g.groups]
    known_r = [share_r * _support(x, r.n_tracks) for x in r.groups]
    trust_g = [known * coherence(x) for known, x in zip(known_g, g.groups, strict=True)]
    trust_r = [known * coherence(x) for known, x in zip(known_r, r.groups, strict=True)]
    within_g = [known * coherence(_within(x)) for known, x in zip(known_g, g.groups, strict=True)]
    within_r = [known * coherence(_within(x)) for known, x in zip(known_r, r.groups, strict=True)]
    weight_g = [trust * amplitude(x.steps, x.weights) for trust, x in zip(trust_g, g.groups, strict=True)]
    weight_r = [trust * amplitude(x.steps, x.weights) for trust, x in zip(trust_r, r.groups, strict=True)]
    pairs = {(i, j): compare_groups(x, y) for i, x in enumerate(g.groups) for j, y in enumerate(r.groups)}
    s = np.zeros((len(g.groups), len(r.groups)))
    for at, pair in pairs.items():
        s[at] = pair.similarity
    evidence = np.where(s >= 0, s, -_REVERSED_PAIR * s)
    worth = np.maximum.outer(np.array(weight_g), np.array(weight_r)) if s.size else s
    rows, columns = linear_sum_assignment(evidence * worth, maximize=True)
    parts = []
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        support = len(g.groups[i]), len(r.groups[j])
        course = _larger(pairs[i, j].courses, (trust_g[i], trust_r[j]))
        inner = _larger(pairs[i, j].inners, (within_g[i], within_r[j]))
        parts.append(Part("course", pairs[i, j].course, course, support))
        parts.append(Part("inner", pairs[i, j].inner, inner, support))
    parts += [Part("group", 0.0, weight_g[i], (len(x), 0)) for i, x in enumerate(g.groups) if i not in rows]
    parts += [Part("group", 0.0, weight_r[j], (0, len(x))) for j, x in enumerate(r.groups) if j not in columns]
    return parts


def _within(group: Group) -> Group:
    """The group without its mean course: what moves within it, or the wavering of its tracks, which is not coherent."""
    mass = np.maximum(group.weights.sum(axis=0), 1e-12)
    course = (group.steps * group.weights[..., None]).sum(axis=0) / mass[:, None]
    return replace(group, steps=(group.steps - course) * group.weights[..., None])


def _support(group: Group, n_tracks: int) -> float:
    """In (0, 1): half for a thing that holds 1% of all tracks. A few tracks that agree may do so by chance."""
    return len(group) / (len(group) + _HALF_SUPPORT * n_tracks)


def _larger(amplitudes: tuple[float, float], trust: tuple[float, float]) -> float:
    return max(a * t for a, t in zip(amplitudes, trust, strict=True))


def _grouped_share(parts: MotionParts) -> float:
    grouped = sum(len(group) for group in parts.groups)
    return grouped / max(grouped + (len(parts.scatter) if parts.scatter else 0), 1)


def _scatter_part(g: MotionParts, r: MotionParts) -> list[Part]:
    """All tracks without a group as one part, matched one to one; its weight is its share of the moving tracks."""
    if g.scatter is None and r.scatter is None:
        return []
    sides = [
        0.0
        if p.scatter is None
        else (1 - _grouped_share(p)) * coherence(p.scatter) * amplitude(p.scatter.steps, p.scatter.weights)
        for p in (g, r)
    ]
    similarity = 0.0 if g.scatter is None or r.scatter is None else scatter_likeness(g.scatter, r.scatter)
    support = (len(g.scatter) if g.scatter else 0, len(r.scatter) if r.scatter else 0)
    return [Part("scatter", similarity, max(sides), support)]
