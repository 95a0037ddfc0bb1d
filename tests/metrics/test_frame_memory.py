"""What is seen in a frame is computed once: by windows, by the whole clip, and by still clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.metrics.threads import Workers
from motionbench.metrics.trackers import frame_memory
from motionbench.metrics.trackers.frame_memory import FrameMemory

ALONE = Workers(None)


class Describer:
    """Features that are the frame's mean and its corner, and a count of the frames that were asked for."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, frames: np.ndarray) -> list[torch.Tensor]:
        self.frames += len(frames)
        numbers = torch.from_numpy(frames.astype(np.float32))
        return [numbers.mean(dim=(1, 2))[None], numbers[None, :, 0, 0]]


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (17, 4, 6, 3), np.uint8)


def test_windows_and_the_whole_clip_share_what_was_seen(frames):
    describer = Describer()
    memory = FrameMemory(describer)
    windows = [memory.levels(part, ALONE) for part in (frames[:9], frames[8:])]
    whole = memory.levels(frames, ALONE)
    assert describer.frames == 17
    fresh = Describer()(frames)
    assert all(torch.equal(a, b) for a, b in zip(whole, fresh, strict=True))
    assert all(torch.equal(a, b[:, 8:]) for a, b in zip(windows[1], fresh, strict=True))


def test_a_still_clip_is_seen_once(frames):
    describer = Describer()
    still = np.repeat(frames[:1], 9, axis=0)
    levels = FrameMemory(describer).levels(still, ALONE)
    assert describer.frames == 1
    assert [level.shape[1] for level in levels] == [9, 9]


def test_no_more_is_kept_than_there_is_room_for(frames, monkeypatch):
    describer = Describer()
    memory = FrameMemory(describer)
    one_frame = sum(level[:, :1].numel() * 4 for level in describer(frames[:1]))
    monkeypatch.setattr(frame_memory, "ROOM", 10 * one_frame)
    describer.frames = 0
    memory.levels(frames, ALONE)  # more than there is room for: not kept
    memory.levels(frames[:5], ALONE)
    memory.levels(frames[:5], ALONE)
    assert describer.frames == 17 + 5
    memory.levels(frames[5:12], ALONE)  # the first five give way
    memory.levels(frames[:5], ALONE)
    assert describer.frames == 17 + 5 + 7 + 5
    assert sum(seen.size for seen in memory._seen) <= 10 * one_frame


def test_the_same_bytes_in_another_shape_are_another_frame(frames):
    describer = Describer()
    memory = FrameMemory(describer)
    memory.levels(frames[:1], ALONE)
    memory.levels(frames[:1].reshape(1, 6, 4, 3), ALONE)
    assert describer.frames == 2
