"""Results: the folder of a run as Python users see it, with its tables as pandas frames and its page one call away."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from motionbench import registry
from motionbench.errors import StoreError
from motionbench.record import Record
from motionbench.scorer import ScoreResult
from motionbench.store import ResultStore
from motionbench.summary_file import Summary

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["rows", "scores", "records"]


@dataclass(frozen=True)
class Results:
    """What a run left behind; every call reads the folder as it is now.

    scoring: what the call that made these results scored, kept and could not score; None if it only generated.
    asked: how many cases that call chose of those on record here; None if it chose none.
    """

    folder: Path
    scoring: ScoreResult | None = field(default=None, compare=False, repr=False)
    asked: int | None = field(default=None, compare=False, repr=False)

    @property
    def store(self) -> ResultStore:
        """The folder's lines and clips."""
        return ResultStore(self.folder)

    @property
    def summary(self) -> Summary:
        """The content of `summary.json`. Raises StoreError if nothing was scored yet."""
        summary = self.store.read_summary()
        if summary is None:
            raise StoreError(
                f"{self.folder} holds no summary.json: nothing is scored yet; mb.score({str(self.folder)!r})"
            )
        return summary

    @property
    def failures(self) -> list[Record]:
        """The attempts that failed, with their reasons."""
        return [record for record in self.store.records() if record.status == "failed"]

    def frame(self, kind: Kind = "rows") -> pd.DataFrame:
        """A table of the results.

        rows: the published numbers, one per metric and category (`all`: their macro mean), with interval, floor and
        ceiling. scores: one per metric on each attempt, with its case. records: one per attempt, failures included.
        Raises StoreError for rows if nothing was scored yet, ValueError for another kind.
        """
        import pandas as pd

        if kind == "rows":
            return pd.DataFrame([asdict(row) for row in self.summary.rows])
        records = pd.DataFrame([asdict(record) for record in self.store.records()])
        if kind == "records":
            return records
        if kind == "scores":
            scores = pd.DataFrame([asdict(score) for score in self.store.scores()])
            if scores.empty:
                return scores
            about = records[["key", "case_id", "category", "seed", "method"]]
            return about.merge(scores, left_on="key", right_on="record_key").drop(columns=["record_key", "schema"])
        raise ValueError(f"kind must be rows, scores or records, got {kind!r}")

    def leaderboard(self, path: str | Path, *others: Results | str | Path, media: str = "embed") -> Path:
        """Writes the leaderboard's page of these results, and of others beside them; it opens from disk.

        media: `embed` the clips, `link` them beside the page, or `none`. Raises StoreError.
        """
        folders = [self.folder, *(other.folder if isinstance(other, Results) else Path(other) for other in others)]
        return Path(registry.load("pages", "leaderboard")(folders, Path(path), media=media))

    def _repr_html_(self) -> str:
        from motionbench.html import summary_to_html

        try:
            return summary_to_html(self.summary)
        except StoreError as error:
            return f"<p>{escape(str(error))}</p>"


def open_results(folder: str | Path) -> Results:
    """The results folder of an earlier run. Raises StoreError if it is none."""
    path = Path(folder)
    if not (path / "run.json").is_file():
        raise StoreError(f"{path} is no results folder: it holds no run.json; `motionbench run --out {path}` makes one")
    return Results(path)
