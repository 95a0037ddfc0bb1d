"""High dynamic range to standard: PQ and HLG in BT.2020 primaries to the 8-bit values of BT.709 that a display shows.

White of a standard picture is 203 cd/m2 (BT.2408); up to 1000 cd/m2, levels stay apart by BT.2390's knee.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]

TRANSFERS = {16: "PQ", 18: "HLG"}  # FFmpeg's AVCOL_TRC_SMPTE2084 and AVCOL_TRC_ARIB_STD_B67
WHITE, PEAK = 203.0, 1000.0  # cd/m2
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # BT.2020, Table 4
TO_709 = np.array(  # linear BT.2020 to linear BT.709: BT.2087-0, the inverse of its M2
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # PQ: BT.2100, Table 4
A, B, C = 0.17883277, 0.28466892, 0.55991073  # HLG: BT.2100, Table 5


def to_sdr(codes: NDArray[np.uint16], transfer: str) -> NDArray[np.uint8]:
    """R'G'B' (H, W, 3) of 8 bit for a display of gamma 2.4 (BT.1886), from R'G'B' of 16 bit (full range)."""
    light = light_table(transfer)[codes.transpose(2, 0, 1)]  # (3, H, W): whole planes are fast to weigh
    if transfer == "HLG":  # the system gamma of a display of 1000 cd/m2: BT.2100, Table 5, OOTF
        light *= PEAK * weighed(light, LUMA) ** 0.2
    light *= knee_table()[steps(light.max(axis=0) / 10000)]
    shown = np.stack([weighed(light, row) for row in TO_709], axis=-1)
    shown /= WHITE
    return value_table()[steps(shown)]


def weighed(planes: Light, weights: Light) -> Light:
    """The weighed sum (H, W) of three planes."""
    total: Light = planes[0] * weights[0] + planes[1] * weights[1] + planes[2] * weights[2]
    return total


def steps(light: Light) -> NDArray[np.uint16]:
    """Places in a table that is even in the root of light in [0, 1]: as fine in the dark as eyes are."""
    np.sqrt(np.clip(light, 0, 1, out=light), out=light)
    light *= 65535
    return light.astype(np.uint16)


def pq_to_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m2 of a PQ signal in [0, 1]: BT.2100, Table 4, EOTF."""
    power = signal ** (1 / M2)
    return 10000 * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)


def light_to_pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The PQ signal of cd/m2: the inverse of `pq_to_light`."""
    power = (np.asarray(light) / 10000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


@cache
def light_table(transfer: str) -> Light:
    """By code of 16 bit: cd/m2 for PQ, scene light in [0, 1] for HLG (BT.2100, Table 5, inverse OETF)."""
    signal = np.arange(1 << 16) / 65535
    if transfer == "PQ":
        return pq_to_light(signal).astype(np.float32)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - C) / A) + B) / 12).astype(np.float32)


@cache
def value_table() -> NDArray[np.uint8]:
    """8-bit values by step of light, 1 being white."""
    values: NDArray[np.uint8] = np.rint(255 * (np.arange(1 << 16) / 65535) ** (2 / 2.4)).astype(np.uint8)
    return values


@cache
def knee_table() -> Light:
    """By how much light is multiplied, by step of it, 1 being 10,000 cd/m2: BT.2390-8, 5.4.1, from PEAK to WHITE."""
    levels = 10000 * (np.maximum(np.arange(1 << 16), 0.5) / 65535) ** 2
    top, white = (float(light_to_pq(np.array(level))) for level in (PEAK, WHITE))
    signal = np.minimum(light_to_pq(levels) / top, 1)
    limit = white / top
    start = 1.5 * limit - 0.5
    t = np.clip((signal - start) / (1 - start), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start) + (3 * t**2 - 2 * t**3) * limit
    mapped = pq_to_light(np.where(signal < start, signal, spline) * top)
    return (mapped / levels).astype(np.float32)
