"""Raters of known skill: votes drawn by Bradley and Terry's model, and answer files as the page downloads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from motionbench.leaderboard.raters.answers import Vote

CATEGORIES = ("camera", "human", "multi_object", "single_object")


def draw_votes(
    strengths: dict[str, float], *, seed: int, references: int = 16, raters: int = 8, share: float = 0.5
) -> list[Vote]:
    """Votes of raters who each answer a share of all questions: every pair of systems on every reference."""
    rng = np.random.default_rng(seed)
    names = sorted(strengths)
    votes = []
    for number in range(references):
        case = f"{CATEGORIES[number % 4]}/{number:04d}/0"
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                chance = 1 / (1 + np.exp(strengths[b] - strengths[a]))
                for rater in range(raters):
                    if rng.random() < share:
                        choice = "a" if rng.random() < chance else "b"
                        votes.append(Vote(f"rater{rater}", f"{case} {a} {b}", case, a, b, choice))
    return votes


def write_answers(
    folder: Path, key: dict[str, Any], rater: str, strengths: dict[str, float], *, attentive: bool = True
) -> Path:
    """One answer file to all questions of a kit, by a rater who prefers the stronger system, or who guesses."""
    rng = np.random.default_rng(sum(map(ord, rater)))
    answers = []
    for name, question in key["questions"].items():
        left = "ab"[rng.integers(2)]
        if not attentive:
            side = "ab"[rng.integers(2)] if "catch" not in question else "ba"["ab".index(question["right"])]
        elif "catch" in question:
            side = question["right"]
        else:
            chance = 1 / (1 + np.exp(strengths[question["b"]] - strengths[question["a"]]))
            side = "a" if rng.random() < chance else "b"
        choice = "left" if side == left else "right"
        answers.append({"question": name, "left": left, "choice": choice, "seconds": 4.2})
    file = folder / f"answers-{rater}.json"
    value = {"schema": 1, "study": key["study"], "rater": rater, "started": "", "finished": "", "answers": answers}
    file.write_text(json.dumps(value), encoding="utf-8")
    return file
