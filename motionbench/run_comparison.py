"""Two runs beside each other: their paired differences, as a table, a frame, and for notebooks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from motionbench.comparison import Difference
from motionbench.comparison import compare as compare_attempts
from motionbench.errors import StoreError
from motionbench.evaluation import Names, to_metrics
from motionbench.results import Results, open_results
from motionbench.scorer import metric_infos
from motionbench.summary import Attempts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunComparison:
    """Paired differences A - B. notes: what is not compared and why, and what makes a difference hard to read."""

    a: str
    b: str
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """A line per metric and category (`all`: their macro mean), with the 95% interval of the difference."""
        import pandas as pd

        return pd.DataFrame([asdict(difference) for difference in self.differences])

    def _repr_html_(self) -> str:
        from motionbench.html import differences_to_html

        return differences_to_html(self.differences, self.a, self.b, self.notes)


def compare(a: Results | str | Path, b: Results | str | Path, *, metrics: Names = None) -> RunComparison:
    """The paired difference A - B per metric and category, with its 95% bootstrap interval over references.

    Only cases that both runs have a value for are compared; the rest is counted as unpaired. b may be a control within
    a run (`results/a/controls/oracle`). Raises StoreError if the runs are not of one split, UnknownNameError.

    Examples:
        >>> import tempfile
        >>> import motionbench as mb
        >>> words = {"categories": "camera", "metrics": "motion_fidelity", "tracker": "lk"}
        >>> made = mb.evaluate("reversed", **words, out=tempfile.mkdtemp())
        >>> found = mb.compare(made, made.folder / "controls" / "frozen", metrics="motion_fidelity").frame()
        >>> bool(found.set_index("category").loc["all", "difference"] < -0.5)
        True
    """
    left, right = (it if isinstance(it, Results) else open_results(it) for it in (a, b))
    notes = _check_alike(left, right)
    infos = metric_infos(to_metrics(metrics))
    x, y = Attempts.read(left.store, infos), Attempts.read(right.store, infos)
    scored = [name for name in infos if any(x.case_values(name)) and any(y.case_values(name))]
    absent = [name for name in infos if name not in scored]
    notes += [f"{name}: not scored in both; motionbench score RESULTS --metrics {name}" for name in absent]
    for name in scored:
        if x.basis(name).differs(y.basis(name)):
            bases = f"A rests on {x.basis(name)}, B on {y.basis(name)}"
            notes.append(f"{name}: not compared: {bases}; motionbench score both alike")
    return RunComparison(str(left.folder), str(right.folder), tuple(compare_attempts(x, y, scored)), tuple(notes))


def _check_alike(a: Results, b: Results) -> list[str]:
    """What a reader must know of two runs of one split. Raises StoreError if they are of two."""
    left, right = a.store.read_run()["configuration"], b.store.read_run()["configuration"]
    for key in ("split", "split_revision"):
        if left[key] != right[key]:
            raise StoreError(
                f"{key} differs: {left[key]} and {right[key]}; only runs on the same cases can be compared"
            )
    if left["backbone"] == right["backbone"]:
        return []
    names = f"{left['backbone']} and {right['backbone']}"
    return [f"warning: the backbones differ ({names}): this difference is not one of methods"]
