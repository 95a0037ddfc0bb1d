"""The picture that a player shows of a decoded frame: square pixels, upright, standard dynamic range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motionbench.reading import Refusal
from motionbench.reading.hdr import TRANSFERS, to_sdr

Frames = NDArray[np.uint8]

SAME_SHAPE = 0.01  # two aspects closer than this are the same: sizes are whole pixels


@dataclass(frozen=True)
class Turn:
    """How a frame is laid on the screen: transposed first, then mirrored across either axis."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: Any) -> Turn:
        """The turn of a frame's display matrix; none without one. Raises Refusal for other than quarter turns.

        A point (p, q) of the frame goes to (a p + c q, b p + d q): ISO/IEC 14496-12, 6.2.2, and FFmpeg's display.h.
        """
        try:
            matrix = frame.side_data.get("DISPLAYMATRIX")
        except ValueError:  # beside data of a kind that this PyAV has no name for; the angle it still tells
            angle = math.radians(frame.rotation)
            a, b, c, d = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        else:
            if matrix is None:
                return cls()
            a, b, _, c, d = (float(number) for number in np.frombuffer(bytes(matrix), np.int32)[:5])
        straight, crossed = math.hypot(a, d), math.hypot(b, c)
        if math.hypot(straight, crossed) == 0:
            return cls()
        if min(straight, crossed) > 0.02 * max(straight, crossed):  # more than one degree
            raise Refusal(f"it is shown turned by {math.degrees(math.atan2(b, a)):.0f} degrees, not by quarter turns")
        return cls(False, a < 0, d < 0) if straight > crossed else cls(True, c < 0, b < 0)

    def apply(self, pixels: Frames) -> Frames:
        """Pixels (H, W, 3) as they stand on the screen."""
        if self.transpose:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


@dataclass(frozen=True)
class Picture:
    """How the frames of a stream are shown, as the first of them says.

    stored: its (width, height). size: (width, height) with square pixels, before it is turned: the side with too few
    pixels grows, as in mpv. transfer: "PQ" or "HLG" for high dynamic range. plain: nothing of this needs doing, and the
    pixels are 8-bit 4:2:0.
    """

    stored: tuple[int, int]
    size: tuple[int, int]
    turn: Turn
    transfer: str | None
    plain: bool

    @classmethod
    def of(cls, stream: Any, frame: Any) -> Picture:
        """The picture of a stream whose first frame is given. Raises Refusal."""
        stored = (frame.width, frame.height)
        aspect = float(stream.sample_aspect_ratio or 1)
        size = stored
        if aspect > 1:
            size = (round(stored[0] * aspect), stored[1])
        elif 0 < aspect < 1:
            size = (stored[0], round(stored[1] / aspect))
        turn, transfer = Turn.of(frame), TRANSFERS.get(int(stream.codec_context.color_trc or 0))
        simple = frame.format.name == "yuv420p" and not frame.interlaced_frame and size == stored
        return cls(stored, size, turn, transfer, simple and turn == Turn() and transfer is None)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3) on the screen."""
        width, height = self.size
        return (width, height, 3) if self.turn.transpose else (height, width, 3)

    def show(self, frame: Any, number: int) -> Frames:
        """Pixels (H, W, 3) of a frame. One of another size is scaled to the first's, of another shape a Refusal."""
        stored = (frame.width, frame.height)
        if stored != self.stored:
            change = stored[0] * self.stored[1] / (stored[1] * self.stored[0])
            if abs(change - 1) > SAME_SHAPE:
                before, after = ("x".join(map(str, size)) for size in (self.stored, stored))
                raise Refusal(f"its picture changes from {before} to {after} at frame {number}; cut it there")
        kind = "rgb24" if self.transfer is None else "rgb48le"
        width, height = self.size
        pixels = frame.reformat(width=width, height=height, format=kind, interpolation="BICUBIC").to_ndarray()
        return self.turn.apply(pixels if self.transfer is None else to_sdr(pixels, self.transfer))
