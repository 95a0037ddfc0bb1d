"""Camera agreement: does the camera pan, tilt, zoom and roll as the reference's does?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample

from . import track_matching as tm
from .camera_motion import CameraPath, fit_camera
from .track_matching import Array

COMPONENTS = ("pan", "tilt", "zoom", "roll")
_NOTICED = 0.05  # of the diagonal over the whole clip: the drift that costs a still camera half of its score
_LAGS = (1, 2, 4, 8)
_CLASS_SHARE = 0.005  # of the shorter side: VBench's threshold on the displacement from first to last frame


def camera_likeness(generated: Array, reference: Array) -> float:
    """Likeness of two camera signals (T-1, 4), see `CameraPath.signal`, in (-1, 1].

    (2 <g, r> + q) / (<g, g> + <r, r> + q), the product summing displacements over 1, 2, 4 and 8 steps. q is that of a
    steady drift of 5% of the diagonal over the clip, so that two still cameras agree perfectly, and an unwanted drift
    of that size scores 0.5; without q stillness would be undefined.
    """
    steps = len(generated)
    cross = own = lags = 0.0
    for lag in (lag for lag in _LAGS if lag <= steps):
        g, r = (np.stack([x[t : t + lag].sum(0) for t in range(steps - lag + 1)]) for x in (generated, reference))
        cross += float((g * r).sum()) / (lag**2 * len(g))
        own += float((g**2 + r**2).sum()) / (lag**2 * len(g))
        lags += 1
    q = lags * (_NOTICED / steps) ** 2
    return (2 * cross + q) / (own + q)


def compare_components(generated: Array, reference: Array) -> dict[str, dict[str, float | None]]:
    """Per component the correlation over time and the least-squares slope (1 = as fast) against the reference.

    generated, reference: (T-1, 4) rates. None where the reference's (or for the correlation either) component is still.
    """
    components: dict[str, dict[str, float | None]] = {}
    for i, name in enumerate(COMPONENTS):
        g, r = generated[:, i], reference[:, i]
        energy, spread = float(r @ r), float(g.std() * r.std())
        components[name] = {
            "correlation": float(np.mean((g - g.mean()) * (r - r.mean()))) / spread if spread > 1e-12 else None,
            "slope": float(g @ r) / energy if energy > 1e-9 else None,
        }
    return components


def camera_classes(camera: CameraPath, size: tuple[float, float]) -> list[str]:
    """VBench-style words for the whole move: pan_left ... roll_right, or static; several may apply.

    The middles of the four edges are carried along by the fitted camera; opposite edges that go the same way make a
    pan or tilt, apart or together a zoom, opposite ways across a roll. Named for the camera: scene to the left =
    pan_right. Source: VBench, camera_motion.py (one tracked point per edge there, a robust fit to all tracks here).
    """
    w, h = size
    edges = {"top": -0.5j * h, "bottom": 0.5j * h, "left": -0.5 * w + 0j, "right": 0.5 * w + 0j}
    moved = {}
    for name, start in edges.items():
        z = start
        for pan, tilt, zoom, roll in camera.rates.tolist():
            z += complex(pan, tilt) + complex(zoom, roll) * z
        moved[name] = z - start
    least = _CLASS_SHARE * min(size)
    words = []
    for a, b in (("top", "bottom"), ("left", "right")):
        words += _pair_words(moved[a], moved[b], upright=a == "top", least=least)
    return sorted(set(words)) or ["static"]


def _pair_words(a: complex, b: complex, *, upright: bool, least: float) -> list[str]:
    """Words from the displacements of two opposite edges' middles (top and bottom, or left and right)."""
    words = []
    if min(abs(a.real), abs(b.real)) > least and a.real * b.real > 0:
        words.append("pan_right" if a.real < 0 else "pan_left")
    if min(abs(a.imag), abs(b.imag)) > least and a.imag * b.imag > 0:
        words.append("tilt_down" if a.imag < 0 else "tilt_up")
    along, across = ((a.imag, b.imag), (a.real, b.real)) if upright else ((a.real, b.real), (a.imag, b.imag))
    if min(map(abs, along)) > least and along[0] * along[1] < 0:
        words.append("zoom_in" if along[0] < 0 else "zoom_out")
    if min(map(abs, across)) > least and across[0] * across[1] < 0:
        clockwise = (across[0] > 0) == upright
        words.append("roll_left" if clockwise else "roll_right")
    return words


class CameraAgreement:
    """Likeness of the camera's pan, tilt, zoom and roll to the reference's, from a robust fit to background tracks."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="camera_agreement",
        version=2,
        unit="",
        range=(-1.0, 1.0),
        better="higher",
        source="this project; classes after VBench camera_motion",
        summary="does the camera move as the reference's: 1 same, 0 unrelated, -1 opposite; two still cameras agree",
        measures="motion",
        faults=("camera",),
    )

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        generated = tm.tracks_to_motion(sample.tracks(sample.generated))
        reference = tm.tracks_to_motion(sample.tracks(sample.reference))
        frames = min(generated.points.shape[1], reference.points.shape[1])
        if frames < 2:
            return Measurement(None, "one frame has no motion")
        g, r = (fit_camera(tm.resample_motion(m, frames)) for m in (generated, reference))
        lost = [name for name, fit in (("generated", g), ("reference", r)) if fit.consensus == 0]
        if lost:
            return Measurement(None, f"no motion that most of the {' and the '.join(lost)} clip shares")
        return Measurement(camera_likeness(g.signal, r.signal), "", _details(g, r, generated.size, reference.size))


def _details(g: CameraPath, r: CameraPath, size_g: tuple[float, float], size_r: tuple[float, float]) -> dict[str, Any]:
    classes = camera_classes(g, size_g), camera_classes(r, size_r)
    components = compare_components(g.rates, r.rates)
    return {
        "components": {
            name: {key: None if v is None else round(v, 4) for key, v in pair.items()}
            for name, pair in components.items()
        },
        "classes": list(classes),
        "classes_agree": classes[0] == classes[1],
        "consensus": [round(g.consensus, 3), round(r.consensus, 3)],
    }
