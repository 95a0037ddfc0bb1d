"""Windows of a clip: short stretches, each with a fresh grid of points, so that what enters late is seen as well."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise
from operator import attrgetter

from motionbench.clip import Clip
from motionbench.metric import Sample
from motionbench.tracks import Tracks

from .threads import workers
from .track_matching import Motion, resample_motion, tracks_to_motion

_STEPS = 8  # as long as the longest displacement that is compared
_MOST = 3  # windows: many frames of the same time move less from one to the next


def count_windows(frames: int) -> int:
    """About one for 8 steps, three at most."""
    return min(max(round((frames - 1) / _STEPS), 1), _MOST)


def window_spans(frames: int, n: int) -> list[tuple[int, int]]:
    """(first, end) of n windows of a clip of so many frames; neighbors share a frame, so that no step is lost."""
    edges = [round(i * (frames - 1) / n) for i in range(n + 1)]
    return [(first, last + 1) for first, last in pairwise(edges)]


def clip_windows(clip: Clip, n: int) -> list[Clip]:
    """The clip's windows as clips of their own; one window is the clip itself."""
    return [clip] if n == 1 else [Clip(clip.frames[a:b], clip.fps) for a, b in window_spans(len(clip), n)]


def sample_motions(sample: Sample) -> tuple[list[tuple[Motion, Motion]], tuple[Motion, Motion]]:
    """(generated, reference) motion of each window, at the same number of frames; and of the whole clips.

    One clip after the other, so that a tracker may keep what it saw in the windows' frames for the whole.
    """
    clips = sample.generated, sample.reference
    n = count_windows(min(map(len, clips)))
    shown = [(*clip_windows(clip, n), clip) for clip in clips]
    with workers("cpu") as team:  # the names of all tracks at once: half of the time where they are known
        team.map(attrgetter("sha256"), chain(*shown))
    followed = [[tracks_to_motion(sample.tracks(part)) for part in parts] for parts in shown]
    *windows, whole = zip(*followed, strict=True)
    return [_equal_frames(*window) for window in windows], whole


def cut_tracks(tracks: Tracks, n: int) -> list[Tracks]:
    """The tracks in each of n windows: those of the clip's first frame wherever they are, not a fresh grid."""
    return [
        replace(tracks, points=tracks.points[:, a:b], visible=tracks.visible[:, a:b])
        for a, b in window_spans(tracks.points.shape[1], n)
    ]


def window_tracks(clip: Clip, tracks: Tracks) -> dict[str, Tracks]:
    """By hash of the clip and of each of its windows: tracks that can only be had of the whole clip (the truth)."""
    n = count_windows(len(clip))
    hashes = [window.sha256 for window in clip_windows(clip, n)]
    return {**dict(zip(hashes, cut_tracks(tracks, n), strict=True)), clip.sha256: tracks}


def tracks_to_windows(generated: Tracks, reference: Tracks) -> list[tuple[Motion, Motion]]:
    """As `sample_windows`, from tracks of the whole clips."""
    n = count_windows(min(tracks.points.shape[1] for tracks in (generated, reference)))
    cut = (cut_tracks(tracks, n) for tracks in (generated, reference))
    return [_equal_frames(tracks_to_motion(g), tracks_to_motion(r)) for g, r in zip(*cut, strict=True)]


def _equal_frames(generated: Motion, reference: Motion) -> tuple[Motion, Motion]:
    frames = min(generated.points.shape[1], reference.points.shape[1])
    return resample_motion(generated, frames), resample_motion(reference, frames)
