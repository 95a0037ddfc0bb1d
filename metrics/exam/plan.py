"""What an exam asks of whom, and the answers that it keeps."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from motionbench.case import Category
from motionbench.typed_json import to_object

logger = logging.getLogger(__name__)

Half = Literal["tune", "report", "all"]
TRUTH = "truth"
ANSWERS = "answers.jsonl"
# Questions that are no corruption: question -> what the answer is for.
CONTROLS = ("identity", "swapped", "frozen", "reversed", "unrelated")
CONDITIONS = (
    "frames_9",
    "pixels_128",
    "grid_14",
    "grid_28",
)  # at which the perfect transfer and its reversal are asked


@dataclass(frozen=True)
class ExamPlan:
    """What is examined.

    metrics, device: as in scoring. trackers: each clip is rendered once and shown to all; `truth` gives the exact
    tracks, which parts the metric's own error from the tracker's. decoded: clips pass through the backbone's
    autoencoder, as generated ones do. half: references with odd numbers are there to choose thresholds by (`tune`),
    those with even numbers to report.
    """

    metrics: tuple[str, ...]
    trackers: tuple[str, ...] = (TRUTH,)
    device: str = "cpu"
    decoded: bool = False
    half: Half = "report"
    categories: tuple[Category, ...] = ()
    limit: int | None = None
    seed: int = 0
    grid: int = 20
    shard: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Answer:
    """One metric's value for one clip. question: a corruption's name, a control, or `perfect@CONDITION`,
    `reversed@CONDITION`. tracker: `truth`, or a tracker and its version; `, decoded` follows where clips were.
    kept: tracks that survive in the clip that has fewer, where the metric says so."""

    reference: str
    category: str
    tracker: str
    question: str
    strength: float
    metric: str
    version: int
    value: float | None
    note: str
    kept: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes an answer the same answer."""
        return self.reference, self.tracker, self.question, self.strength, self.metric, self.version


def read_answers(path: Path) -> list[Answer]:
    """The whole answers of a file; a half-written last line is left out."""
    answers = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            answers.append(to_object(Answer, json.loads(line)))
        except ValueError:
            logger.warning("%s: a line is no whole answer and will be asked again", path)
    return answers
