"""Paired differences, worked out by hand."""

from __future__ import annotations

import pytest
from attempt_tables import make_attempts

from motionbench.comparison import Difference, compare
from motionbench.summary import ALL, Attempts


def by_category(a: Attempts, b: Attempts) -> dict[str, Difference]:
    return {row.category: row for row in compare(a, b, ["fidelity"])}


def test_pairing_removes_what_clips_share() -> None:
    # the clips differ widely, the gain is 0.1 on each: an unpaired interval would hold 0, the paired one is a point
    base = {f"camera/{i:04}/0": i / 10 for i in range(1, 9)}
    a = make_attempts({case: [value + 0.1] for case, value in base.items()})
    b = make_attempts({case: [value] for case, value in base.items()})
    row = by_category(a, b)["camera"]
    assert (row.difference, row.low, row.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (row.n_references, row.n_pairs, row.n_unpaired) == (8, 8, 0)


def test_only_cases_of_both_are_compared_and_the_rest_is_counted() -> None:
    a = make_attempts({"camera/0001/0": [0.9], "camera/0002/0": [0.1], "camera/0003/0": ["failed"]})
    b = make_attempts({"camera/0001/0": [0.4], "camera/0003/0": [0.2], "camera/0004/0": [None]})
    row = by_category(a, b)["camera"]
    assert (row.a, row.b) == (0.9, 0.4)
    assert row.difference == pytest.approx(0.5)
    assert (row.n_pairs, row.n_unpaired) == (1, 3)


def test_seeds_are_averaged_before_pairing() -> None:
    row = by_category(make_attempts({"human/0001/0": [0.2, 0.6]}), make_attempts({"human/0001/0": [0.1]}))["human"]
    assert row.difference == pytest.approx(0.3)


def test_all_is_the_macro_mean_and_needs_every_category() -> None:
    a = make_attempts({"camera/0001/0": [0.5], "camera/0002/0": [0.5], "human/0001/0": [0.9]})
    b = make_attempts({"camera/0001/0": [0.3], "camera/0002/0": [0.3], "human/0001/0": [0.1]})
    assert by_category(a, b)[ALL].difference == pytest.approx(0.5)
    without = make_attempts({"camera/0001/0": [0.3], "human/0001/0": ["failed"]})
    row = by_category(a, without)[ALL]
    assert (row.difference, row.low, row.n_pairs, row.n_unpaired) == (None, None, 1, 2)


def test_swapping_turns_the_sign() -> None:
    a = make_attempts({f"camera/{i:04}/0": [0.1 * i] for i in range(5)})
    b = make_attempts({f"camera/{i:04}/0": [0.05 * i * i] for i in range(5)})
    there, back = by_category(a, b)["camera"], by_category(b, a)["camera"]
    assert there.difference == pytest.approx(-(back.difference or 0))
    assert there.low is not None
    assert back.high is not None
    assert there.low == pytest.approx(-back.high, abs=0.02)  # another resample, drawn in sorted order


def test_no_common_case_gives_no_number() -> None:
    row = by_category(make_attempts({"camera/0001/0": [0.5]}), make_attempts({"camera/0002/0": [0.5]}))["camera"]
    assert (row.a, row.b, row.difference, row.n_pairs, row.n_unpaired) == (None, None, None, 0, 2)
