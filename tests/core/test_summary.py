"""Averages, counts, floors and ceilings, worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from attempt_tables import make_attempts, make_info, make_record

from motionbench.comparison import compare
from motionbench.metric import MetricInfo
from motionbench.record import Row, Score
from motionbench.summary import ALL, Attempts, cost, latest_scores, make_summary, normalize, summarize
from motionbench.summary_file import Cost


def rows_of(attempts: Attempts, *controls: Attempts, info: MetricInfo | None = None) -> dict[str, Row]:
    info = info or make_info()
    return {row.category: row for row in summarize(attempts, {c.method: c for c in controls}, {info.name: info})}


def test_prompts_and_seeds_of_a_reference_count_as_one() -> None:
    # reference 1: prompts (0.0, 0.2) and (0.5) -> cases 0.1, 0.5 -> 0.3; reference 2: 0.9; mean 0.6, not the flat 0.4
    rows = rows_of(make_attempts({"camera/0001/0": [0.0, 0.2], "camera/0001/1": [0.5], "camera/0002/0": [0.9]}))
    assert rows["camera"].mean == pytest.approx(0.6)
    assert rows["camera"].n == 4


def test_all_is_the_mean_of_categories_not_of_cases() -> None:
    rows = rows_of(make_attempts({"camera/0001/0": [1.0], "camera/0002/0": [1.0], "human/0001/0": [0.0]}))
    assert rows[ALL].mean == pytest.approx(0.5)


def test_failed_unmeasurable_and_unscored_are_counted_and_never_zero() -> None:
    rows = rows_of(
        make_attempts(
            {
                "camera/0001/0": [0.8, None],
                "camera/0002/0": ["failed"],
                "camera/0003/0": ["unscored"],
                "camera/0004/0": [0.4],
            }
        )
    )
    row = rows["camera"]
    assert (row.n, row.n_failed) == (2, 3)
    assert row.mean == pytest.approx(0.6)


def test_category_without_a_value_is_null_and_so_is_all() -> None:
    rows = rows_of(make_attempts({"camera/0001/0": [0.8], "human/0001/0": ["failed"]}))
    assert rows["camera"].mean == 0.8
    assert (rows["human"].mean, rows["human"].n, rows["human"].n_failed) == (None, 0, 1)
    assert (rows[ALL].mean, rows[ALL].n, rows[ALL].n_failed) == (None, 1, 1)


def test_single_reference_has_a_mean_without_an_interval() -> None:
    row = rows_of(make_attempts({"camera/0001/0": [0.8]}))["camera"]
    assert (row.mean, row.low, row.high) == (0.8, None, None)


def test_interval_spans_references_and_holds_the_mean() -> None:
    row = rows_of(make_attempts({f"camera/{i:04}/0": [i / 10] for i in range(1, 9)}))["camera"]
    assert row.mean is not None
    assert row.low is not None
    assert row.high is not None
    assert 0.1 < row.low < row.mean < row.high < 0.8


def test_floor_and_ceiling_come_from_the_same_cases() -> None:
    values = make_attempts({"camera/0001/0": [0.5]})
    frozen = make_attempts({"camera/0001/0": [0.1], "camera/0002/0": [0.9]}, method="frozen")
    oracle = make_attempts({"camera/0001/0": [0.9], "camera/0002/0": [0.0]}, method="oracle")
    row = rows_of(values, frozen, oracle)["camera"]
    assert (row.floor, row.ceiling) == (0.1, 0.9)
    assert row.normalized == pytest.approx(0.5)


def test_ceiling_is_the_first_control_that_has_values() -> None:
    values = make_attempts({"camera/0001/0": [0.5]})
    oracle = make_attempts({"camera/0001/0": ["failed"]}, method="oracle")
    copy = make_attempts({"camera/0001/0": [0.95]}, method="copy")
    assert rows_of(values, oracle, copy)["camera"].ceiling == 0.95


def test_control_is_its_own_floor() -> None:
    frozen = make_attempts({"camera/0001/0": [0.1]}, method="frozen")
    oracle = make_attempts({"camera/0001/0": [0.9]}, method="oracle")
    assert rows_of(frozen, oracle)["camera"].normalized == 0.0


def test_without_controls_nothing_is_normalized() -> None:
    row = rows_of(make_attempts({"camera/0001/0": [0.5]}))["camera"]
    assert (row.floor, row.ceiling, row.normalized) == (None, None, None)


@pytest.mark.parametrize(
    ("better", "mean", "floor", "ceiling", "expected"),
    [
        ("higher", 0.5, 0.0, 1.0, 0.5),
        ("higher", 1.2, 0.0, 1.0, 1.2),  # not clipped: a method may beat the ceiling control
        ("higher", -0.5, 0.0, 1.0, -0.5),
        ("lower", 2.0, 4.0, 0.0, 0.5),
        ("zero", 1.0, 2.0, 0.0, 0.5),
        ("higher", 0.5, 1.0, 0.9, None),  # a frozen frame beats every clip in consistency
        ("lower", 0.5, 0.0, 1.0, None),
        ("higher", 0.5, 0.7, 0.7, None),
        ("higher", None, 0.0, 1.0, None),
        ("higher", 0.5, None, 1.0, None),
    ],
)
def test_normalized_score(
    better: str, mean: float | None, floor: float | None, ceiling: float | None, expected: float | None
) -> None:
    assert normalize(mean, floor, ceiling, make_info(better=better)) == expected


ZERO = make_info(better="zero")


def zero_row(values: dict[str, list[float | str | None]], *controls: Attempts, category: str = ALL) -> Row:
    return rows_of(make_attempts(values, info=ZERO), *controls, info=ZERO)[category]


def test_too_much_here_and_too_little_there_do_not_cancel() -> None:
    row = zero_row({"camera/0001/0": [0.042], "human/0001/0": [-0.010]})
    assert row.mean == pytest.approx(0.026)
    assert row.signed == pytest.approx(0.016)


def test_within_a_category_and_a_case_nothing_cancels_either() -> None:
    row = zero_row({"camera/0001/0": [0.3, -0.3], "camera/0002/0": [-0.1, -0.1]}, category="camera")
    assert row.mean == pytest.approx(0.2)
    assert row.signed == pytest.approx(-0.05)
    assert row.low is not None
    assert row.low >= 0.1  # the interval is of distances, too


def test_normalized_distances_fall_between_those_of_the_categories() -> None:
    values = {"camera/0001/0": [0.042], "human/0001/0": [-0.010]}
    frozen = make_attempts({"camera/0001/0": [0.032], "human/0001/0": [0.06]}, method="frozen", info=ZERO)
    copy = make_attempts({"camera/0001/0": [0.0], "human/0001/0": [0.0]}, method="copy", info=ZERO)
    rows = rows_of(make_attempts(values, info=ZERO), frozen, copy, info=ZERO)
    found = {name: rows[name].normalized for name in ("camera", "human", ALL)}
    assert found == pytest.approx({"camera": -0.3125, "human": 0.8333, ALL: 0.4348}, abs=1e-4)


def test_as_far_off_on_the_other_side_as_the_floor_is_the_floor() -> None:
    frozen = make_attempts({"camera/0001/0": [2.0]}, method="frozen", info=ZERO)
    copy = make_attempts({"camera/0001/0": [0.0]}, method="copy", info=ZERO)
    assert zero_row({"camera/0001/0": [-2.0]}, frozen, copy).normalized == 0.0


def test_only_where_closest_to_zero_is_best_there_is_a_signed_mean() -> None:
    row = rows_of(make_attempts({"camera/0001/0": [-0.5], "camera/0002/0": [0.1]}))["camera"]
    assert (row.mean, row.signed) == (pytest.approx(-0.2), None)


def test_who_is_closer_to_zero_has_the_smaller_value_in_a_comparison() -> None:
    near = make_attempts({"camera/0001/0": [-0.1]}, info=ZERO)
    far = make_attempts({"camera/0001/0": [0.3]}, method="b", info=ZERO)
    (gap, _) = compare(near, far, ["fidelity"])
    assert (gap.a, gap.b, gap.difference) == pytest.approx((0.1, 0.3, -0.2))


def test_score_of_another_metric_version_does_not_count() -> None:
    old, new = (Score("k", "fidelity", version, 0.1 * version, "") for version in (1, 2))
    assert latest_scores([old, new], {"fidelity": make_info(version=1)})["k", "fidelity"] is old
    assert latest_scores([old, new], {"fidelity": make_info(version=2)})["k", "fidelity"] is new
    assert ("k", "fidelity") not in latest_scores([old], {"fidelity": make_info(version=2)})
    assert latest_scores([new, old], {})["k", "fidelity"] is new


def test_order_of_records_changes_no_digit() -> None:
    values = {f"{c}/{i:04}/{n}": [0.1 * i + 0.01 * n] for c in ("human", "camera") for i in range(4) for n in range(3)}
    forward, backward = make_attempts(values), make_attempts(dict(reversed(values.items())))
    assert rows_of(forward) == rows_of(backward)


def test_cost_averages_what_was_paid() -> None:
    records = [make_record("camera/0001/0"), make_record("camera/0001/1"), make_record("camera/0002/0", ok=False)]
    assert cost(records) == Cost(2.0, 1.0, 100)
    assert cost(records[2:]) == Cost()


def seen_by(details: list[dict[str, str]], method: str = "method") -> Attempts:
    """One reference for each entry, with a value that rests on it."""
    records = tuple(make_record(f"camera/{i:04}/0", method=method) for i in range(len(details)))
    scores = [Score(r.key, "fidelity", 1, 0.5, "", d) for r, d in zip(records, details, strict=True)]
    return Attempts(method, records, latest_scores(scores, {"fidelity": make_info()}), frozenset())


def test_trackers_and_models_of_a_metric_are_named() -> None:
    own = seen_by([{"tracker": "lk v1", "model": "tiny-clip 01"}])
    other = seen_by([{"model": "ViT-B-32:openai 02"}], "frozen")
    value = make_summary({}, own, {"frozen": other}, {"fidelity": make_info()})
    assert value.trackers == {"fidelity": ("lk v1",)}
    assert value.models == {"fidelity": ("ViT-B-32:openai 02", "tiny-clip 01")}


@pytest.mark.parametrize("kind", ["tracker", "model"])
def test_values_by_two_trackers_or_models_have_no_mean(kind: str) -> None:
    row = rows_of(seen_by([{kind: "a 1"}, {kind: "b 1"}]))["camera"]
    assert (row.mean, row.n, row.n_failed) == (None, 0, 2)
    assert rows_of(seen_by([{kind: "a 1"}, {}]))["camera"].mean == 0.5  # one of them needed none


@pytest.mark.parametrize("kind", ["tracker", "model"])
def test_a_control_that_another_saw_marks_no_end(kind: str) -> None:
    own, frozen = seen_by([{kind: "a 1"}]), seen_by([{kind: "b 1"}], "frozen")
    assert rows_of(own, frozen)["camera"].floor is None
    assert rows_of(own, seen_by([{kind: "a 1"}], "frozen"))["camera"].floor == 0.5


@pytest.mark.parametrize("kind", ["tracker", "model"])
def test_values_that_another_saw_make_no_pair(kind: str) -> None:
    own = seen_by([{kind: "a 1"}])
    (gap, _) = compare(own, seen_by([{kind: "b 1"}], "other"), ["fidelity"])
    assert (gap.difference, gap.n_pairs, gap.n_unpaired) == (None, 0, 1)
    (gap, _) = compare(own, seen_by([{kind: "a 1"}], "other"), ["fidelity"])
    assert (gap.difference, gap.n_pairs) == (0.0, 1)


def test_summary_is_json_with_controls_and_failures() -> None:
    attempts = make_attempts({"camera/0001/0": [0.5], "camera/0002/0": ["failed"]})
    frozen = make_attempts({"camera/0001/0": [0.1], "camera/0002/0": [0.1]}, method="frozen")
    infos = {"fidelity": make_info()}
    value = json.loads(json.dumps(make_summary({}, attempts, {"frozen": frozen}, infos).to_json()))
    assert {row["method"] for row in value["rows"]} == {"method"}
    assert {row["method"] for row in value["control_rows"]} == {"frozen"}
    assert value["failures"] == [{"case_id": "camera/0002/0", "seed": 0, "reason": "oom", "error": "out of memory"}]
    assert value["metrics"]["fidelity"]["version"] == 1


def test_support_is_the_mean_share_of_points_kept_on_the_side_that_keeps_fewer() -> None:
    attempts = make_attempts({"camera/0001/0": [0.5], "camera/0002/0": [None], "human/0001/0": [0.1]})
    kept = {"camera/0001/0": [300, 400], "camera/0002/0": [10, 400]}
    scores = {
        key: replace(score, details={"points": [400, 400], "tracks": kept[case]})
        for (key, metric), score in attempts.scores.items()
        if (case := key.split(":")[1]) in kept
    }
    held = {key: scores.get(key[0], score) for key, score in attempts.scores.items()}
    rows = {row.category: row for row in summarize(replace(attempts, scores=held), {}, {"fidelity": make_info()})}
    assert rows["camera"].support == pytest.approx((0.75 + 0.025) / 2)  # a null value has its support too
    assert rows["human"].support is None
    assert rows[ALL].support == rows["camera"].support
