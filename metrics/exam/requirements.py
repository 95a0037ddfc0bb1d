"""The requirements that the suite's own motion metrics must reach, and whether an exam found that they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .report import MetricReport

HEADLINE, CAMERA = "motion_fidelity", "camera_agreement"
LEAST_RHO = LEAST_PAIRS = 0.90
LEAST_CAMERA_RHO = 0.95
FLOOR = 0.02  # of a frozen clip: stillness is 0 by definition
MOST_SHIFT = 0.05  # of a metric's range, by appearance alone
_LEGACY = ("_smm", "_released", "_det")


@dataclass(frozen=True)
class Requirement:
    """One demand on the metrics as one tracker sees them. met: None if it could not be told."""

    tracker: str
    demand: str
    value: str
    met: bool | None


def to_requirements(reports: Sequence[MetricReport]) -> list[Requirement]:
    """Every demand, for each tracker in the order of their names."""
    requirements = []
    for tracker in sorted({report.tracker for report in reports}):
        by_metric = {report.metric: report for report in reports if report.tracker == tracker}
        if HEADLINE in by_metric:
            requirements += _headline_requirements(tracker, by_metric[HEADLINE], by_metric)
        if CAMERA in by_metric:
            rho = by_metric[CAMERA].by_corruption.get("camera_drift")
            demand = f"`{CAMERA}` rho on camera corruptions >= {LEAST_CAMERA_RHO:.2f}"
            requirements.append(_at_least(tracker, demand, None if rho is None else rho[0], LEAST_CAMERA_RHO))
        requirements += _shift_requirements(tracker, list(by_metric.values()))
    return requirements


def _headline_requirements(tracker: str, head: MetricReport, by_metric: dict[str, MetricReport]) -> list[Requirement]:
    requirements = [
        _at_least(tracker, f"`{HEADLINE}` mean rho >= {LEAST_RHO:.2f}", head.rho.mean, LEAST_RHO),
        _at_least(tracker, f"`{HEADLINE}` pairwise accuracy >= {LEAST_PAIRS:.2f}", head.accuracy.mean, LEAST_PAIRS),
    ]
    rivals = {name: by_metric[HEADLINE + name].rho.mean for name in _LEGACY if HEADLINE + name in by_metric}
    rhos = {name: rho for name, rho in rivals.items() if rho is not None}
    if rhos and head.rho.mean is not None:
        best = max(rhos, key=lambda name: rhos[name])
        value = f"{head.rho.mean:.3f} against {rhos[best]:.3f} (`{best}`)"
        requirements.append(
            Requirement(tracker, "its rho above every legacy formula's", value, head.rho.mean > rhos[best])
        )
    drift = head.curves.get("camera_drift") or []
    if len(drift) > 1:
        value = f"{drift[0][1]:.3f} falls to {drift[-1][1]:.3f}"
        falls = all(b[1] < a[1] for a, b in pairwise(drift))
        requirements.append(Requirement(tracker, "unwanted camera drift lowers it, the more the lower", value, falls))
    frozen = head.controls["frozen"].mean
    met = None if frozen is None else abs(frozen) <= FLOOR
    requirements.append(Requirement(tracker, "a frozen clip scores its floor, 0", _to_text(frozen), met))
    return requirements


def _shift_requirements(tracker: str, reports: Sequence[MetricReport]) -> list[Requirement]:
    """The suite's own metrics of motion that appearance alone moves too far, or else the one that it moves most."""
    moved = {
        r.metric: r.appearance_shift
        for r in reports
        if r.judges_motion and r.appearance_shift is not None and not r.metric.endswith(_LEGACY)
    }
    if not moved:
        return []
    worst = sorted(moved, key=lambda name: -moved[name])
    over = [name for name in worst if moved[name] > MOST_SHIFT]
    value = ", ".join(f"{moved[name]:.3f} (`{name}`)" for name in over or worst[:1])
    demand = f"no appearance corruption moves a motion metric by over {MOST_SHIFT:.2f} of its range"
    return [Requirement(tracker, demand, value, not over)]


def _at_least(tracker: str, demand: str, value: float | None, least: float) -> Requirement:
    return Requirement(tracker, demand, _to_text(value), None if value is None else value >= least)


def _to_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
