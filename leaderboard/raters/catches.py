"""Catch trials: questions whose answer is known, beside a copy of the reference: frozen, or played backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.errors import ConfigError
from motionbench.video import encode_clip

from .pairing import Systems

Spoiling = Literal["frozen", "reversed"]
SPOILINGS: tuple[Spoiling, ...] = ("frozen", "reversed")
CLEAR = 4.0  # mean gray levels between the two clips: below it, an attentive rater could miss the difference


@dataclass(frozen=True)
class Catch:
    """One catch trial. good, bad: video files in bytes, both encoded alike, so that neither stands out."""

    case_id: str
    spoiling: Spoiling
    good: bytes
    bad: bytes


def spoil(clip: Clip, how: Spoiling) -> Clip:
    """The clip with its first frame held, or played backwards."""
    frames = clip.frames[::-1] if how == "reversed" else np.repeat(clip.frames[:1], len(clip), axis=0)
    return clip.with_frames(np.ascontiguousarray(frames))


def difference(clip: Clip, other: Clip) -> float:
    """Mean absolute difference of two clips of one shape, in gray levels."""
    return float(np.abs(clip.frames.astype(np.int16) - other.frames.astype(np.int16)).mean())


def make_catches(systems: Systems, count: int, seed: int) -> list[Catch]:
    """`count` catch trials on references that systems answered, frozen and reversed in turn.

    A reference that hardly moves, or moves the same way backwards, makes none. Raises ConfigError if too few are left.
    """
    rng = np.random.default_rng(seed)
    answered = {case for clips in systems.clips.values() for case in clips}
    cases = {case.reference_id: case for case in systems.split.cases if case.id in answered}
    order = [sorted(cases)[int(i)] for i in rng.permutation(len(cases))]
    made: list[Catch] = []
    for turn in range(2 * len(order)):  # each reference at most once as frozen and once as reversed
        if len(made) == count:
            return made
        how = SPOILINGS[(turn + turn // len(order)) % 2]
        catch = _catch(systems, cases[order[turn % len(order)]], how)
        made.extend([catch] if catch is not None else [])
    if len(made) < count:
        raise ConfigError(f"only {len(made)} catch trials can be made of these references; ask for fewer: --catches")
    return made


def _catch(systems: Systems, case: Case, how: Spoiling) -> Catch | None:
    clip = systems.split.read_reference(case).even()
    bad = spoil(clip, how)
    return Catch(case.id, how, encode_clip(clip), encode_clip(bad)) if difference(clip, bad) >= CLEAR else None
