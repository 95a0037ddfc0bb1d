"""Tables: what a reader sees of a summary."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attempt_tables import make_attempts, make_info

from motionbench.comparison import compare
from motionbench.summary import make_summary, normalize
from motionbench.table import (
    interval,
    metric_title,
    notes,
    number,
    print_differences,
    print_summary,
    summary_table,
)

RUN = {"configuration": {"method": "method", "backbone": "tiny", "split": "mini", "split_revision": "0123456789abcdef"}}
INFO = make_info("motion_fidelity_released", version=12)


def summary(values: dict[str, list[float | str | None]]) -> dict[str, object]:
    infos = {INFO.name: INFO}
    return make_summary(RUN["configuration"], make_attempts(values, info=INFO), {}, infos)


def test_interval_and_number_are_short_and_missing_is_a_dash() -> None:
    assert interval(0.81, 0.742, 0.8755) == "0.810 [0.742, 0.875]"
    assert interval(-0.5, -1.0, 0.25, sign=True) == "-0.500 [-1.000, +0.250]"
    assert interval(0.5, None, None) == "0.500"
    assert (number(-0.0001), number(-0.0001, sign=True)) == ("0.000", "+0.000")
    assert interval(None, None, None) == number(None) == "–"


def test_table_holds_every_number_and_fits(capsys: pytest.CaptureFixture[str]) -> None:
    values: dict[str, list[float | str | None]] = {
        f"{category}/{i:04}/0": [i / 10 - 1] for category in ("single_object", "multi_object") for i in range(9)
    }
    print_summary(summary(values | {"multi_object/0009/0": ["failed"]}))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "method † · tiny · mini 0123456789abcdef" in text
    assert "motion_fidelity_released v12 ↑" in text
    (line,) = (line for line in lines if line.strip().startswith("multi_object"))
    assert line.split()[1:4] == ["9", "1", "-0.600"]
    assert "none of them is a zero" in " ".join(text.split())


@pytest.mark.parametrize("columns", [100, 80, 79, 60, 40, 20])
def test_no_number_is_cut_at_any_width(columns: int) -> None:
    values = {f"single_object/{i:04}/0": [1234.5678 * (i - 1) / 2] for i in range(3)}
    made = summary(values)  # type: ignore[arg-type]
    text = summary_table(made).render(columns)
    assert max(map(len, text.splitlines())) <= columns
    joined = " ".join(text.split())
    for row in made.rows:
        for shown in (row.n, number(row.mean), number(row.low), number(row.high), number(row.floor)):
            assert str(shown) in joined
    assert "…" not in text
    assert "failed" in joined


def test_the_widest_usual_table_stands_side_by_side_in_eighty_columns() -> None:
    values = {f"single_object/{i:04}/0": [-0.9 + 0.01 * (i % 3)] for i in range(120)}
    made = summary(values)  # type: ignore[arg-type]
    wide = {"floor": -0.123, "ceiling": -0.987, "normalized": -0.123, "support": 1.0}
    made = replace(made, rows=tuple(replace(row, **wide) for row in made.rows))
    lines = summary_table(made).render(80).splitlines()
    (line,) = (line for line in lines if line.strip().startswith("single_object"))
    assert line.split()[1:3] == ["120", "0"]
    assert line.split()[-4:] == ["-0.123", "-0.987", "-0.123", "100%"]


def test_a_metric_without_a_better_end_has_no_arrow_and_no_scale() -> None:
    info = make_info("dynamic_degree", better="none")
    values = make_attempts({f"camera/{i:04}/0": [0.5] for i in range(3)}, info=info)
    made = make_summary(RUN["configuration"], values, {}, {info.name: info})
    assert metric_title(made.metrics[info.name]) == f"dynamic_degree v{info.version}"
    assert notes(made)[0] == "no sign: neither more nor less is better."
    assert normalize(0.5, 0.0, 1.0, info) is None


def test_missing_interval_and_cost_are_explained() -> None:
    lines = notes(summary({"camera/0001/0": [0.5]}))  # type: ignore[arg-type]
    assert any("fewer than two references" in line for line in lines)
    assert lines[-1] == "Cost: 2.0 s per fit, 1.0 s per clip, 0.0 GiB at most."
    assert lines[0] == "↑ higher is better."
    unvalidated = "† unvalidated: the reversed-reference gate was not run."
    assert notes(summary({f"camera/{i:04}/0": [0.5] for i in range(3)})) == [lines[0], unvalidated, lines[-1]]  # type: ignore[arg-type]


def test_mixed_trackers_are_said() -> None:
    mixed = summary({f"camera/{i:04}/0": [0.5] for i in range(3)})
    mixed = replace(mixed, trackers={INFO.name: ("lk v1", "tiny v1")})
    assert any("mixes trackers (lk v1, tiny v1)" in line for line in notes(mixed))


def test_table_of_differences_fits(capsys: pytest.CaptureFixture[str]) -> None:
    a = make_attempts({f"single_object/{i:04}/0": [0.9] for i in range(3)}, info=INFO)
    b = make_attempts({f"single_object/{i:04}/0": [0.1 * i] for i in range(3)}, info=INFO)
    print_differences(compare(a, b, [INFO.name]), "results/" + "a" * 60, "results/b")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = (line for line in lines if line.strip().startswith("single_object"))
    assert line.split()[1:5] == ["3", "0", "0.900", "0.100"]
    assert "+0.800 [" in line


def test_signed_means_stand_beside_the_name_where_closest_to_zero_is_best() -> None:
    info = make_info("gap", better="zero")
    made = make_attempts({"camera/0001/0": [0.042], "human/0001/0": [-0.010]}, info=info)
    value = make_summary(RUN["configuration"], made, {}, {"gap": info})
    text = summary_table(value).render(80)
    assert "gap v1 →0; with sign: camera +0.042, human -0.010, all +0.016" in text
    assert text.splitlines()[-1].split() == ["all", "2", "0", "0.026", "–", "–", "–"]
    assert any("distances from 0" in line for line in notes(value))
