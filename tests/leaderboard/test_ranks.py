"""Ranks follow the means; their range is what plain resampling gives."""

from __future__ import annotations

import numpy as np
import pytest
from motionbench.leaderboard.ranks import Rank, rank_methods

from motionbench.metric import MetricInfo

HIGHER = MetricInfo("m", 1, "", (None, None), "higher", "", "")
LOWER = MetricInfo("m", 1, "", (None, None), "lower", "", "")


def cases(values: list[float], category: str = "camera", prompts: int = 1) -> dict[str, float]:
    return {f"{category}/{i:04}/{p}": value for i, value in enumerate(values) for p in range(prompts)}


def test_ranks_follow_the_means_whatever_the_intervals() -> None:
    """The wide one has the better mean: it stands above, and its range says how little that means."""
    rng = np.random.default_rng(0)
    narrow = 0.567 + 0.001 * rng.normal(size=12)
    wide = 0.589 + 0.4 * np.array([1, -1] * 6)
    found = rank_methods({"wide": cases(list(wide)), "narrow": cases(list(narrow))}, HIGHER)
    assert (found["wide"].place, found["narrow"].place) == (1, 2)
    assert (found["wide"].low, found["wide"].high) == (1, 2)


def test_a_constant_gap_is_certain_though_the_references_differ_much() -> None:
    """Resamples are joint: what is hard is hard for both."""
    hard = np.linspace(-1, 1, 9)
    found = rank_methods({"a": cases(list(hard + 0.01)), "b": cases(list(hard))}, HIGHER)
    assert found == {"a": Rank(1, 1, 1), "b": Rank(2, 2, 2)}


def test_equal_methods_share_a_rank_and_lower_can_be_better() -> None:
    held = {"a": cases([1.0, 2.0]), "b": cases([1.0, 2.0]), "c": cases([0.0, 0.0])}
    assert {name: rank.place for name, rank in rank_methods(held, HIGHER).items()} == {"a": 1, "b": 1, "c": 3}
    assert {name: rank.place for name, rank in rank_methods(held, LOWER).items()} == {"a": 2, "b": 2, "c": 1}


def test_one_reference_gives_no_range() -> None:
    found = rank_methods({"a": cases([0.9]), "b": cases([0.1])}, HIGHER)
    assert found == {"a": Rank(1, None, None), "b": Rank(2, None, None)}


def test_categories_weigh_the_same_and_prompts_of_a_reference_are_one_value() -> None:
    a = cases([1.0] * 2, "camera", prompts=5) | cases([0.0] * 8, "human")
    b = cases([0.4] * 2, "camera", prompts=5) | cases([0.4] * 8, "human")
    assert rank_methods({"a": a, "b": b}, HIGHER)["a"].place == 1  # 0.5 and 0.4; of all values 0.56 and 0.4


def test_the_range_is_that_of_plain_resampling_with_values_missing() -> None:
    rng = np.random.default_rng(1)
    held = {
        name: {
            f"{category}/{i:04}/0": float(level + rng.normal())
            for category in ("camera", "human")
            for i in range(7)
            if not (name == "b" and category == "human" and i == 3)
        }
        for name, level in (("a", 0.5), ("b", 0.3), ("c", 0.0))
    }
    places: dict[str, list[int]] = {name: [] for name in held}
    dice = np.random.default_rng(2)
    for _ in range(4000):
        picks = {c: [f"{c}/{i:04}/0" for i in dice.integers(0, 7, 7)] for c in ("camera", "human")}
        means = {
            name: np.mean([np.mean([own[case] for case in picks[c] if case in own]) for c in picks])
            for name, own in held.items()
        }
        for name, mean in means.items():
            places[name].append(1 + sum(other > mean for other in means.values()))
    found = rank_methods(held, HIGHER)
    for name, drawn in places.items():
        assert (found[name].low, found[name].high) == (
            int(np.percentile(drawn, 2.5, method="lower")),
            int(np.percentile(drawn, 97.5, method="higher")),
        )


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_order_of_the_methods_changes_nothing(order: tuple[str, ...]) -> None:
    held = {"a": cases([0.3, 0.9, 0.1]), "b": cases([0.5, 0.2, 0.4])}
    assert rank_methods({name: held[name] for name in order}, HIGHER) == rank_methods(held, HIGHER)
