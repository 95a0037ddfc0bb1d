"""A search for a preset as a page: paired differences of its trials, with 95% intervals over references.

    python benchmarks/search_page.py training/searches/followyourmotion_round4_found.jsonl --sample base \
      --contrast alpha2_stratified_220 preset "All three together" --page docs/results/sensitivity.md

The file is what `preset_search run` wrote (any of its lines' keys but trial, sample, case, category and scores may be
missing). Differences are macro means over categories; references that either side lacks are left out, and n is told.
References numbered 8001 and on are curves of `curves.py`: they are told apart as well.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.files import read_lines
from motionbench.marked_page import BEGIN, END, put_between, table

Values = Mapping[str, float]  # case -> value
CURVES = range(8001, 9001)


def values_of(lines: Sequence[Mapping[str, Any]], sample: str, metric: str) -> dict[str, dict[str, float]]:
    """Trial -> case -> value, of one sample and metric."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for line in lines:
        value = line["scores"].get(metric)
        if line["sample"] == sample and value is not None:
            found[line["trial"]][line["case"]] = value
    return dict(found)


def is_curve(case: str) -> bool:
    """Whether a case's reference is one of `curves.py`."""
    return int(case.split("/")[1]) in CURVES


def strata(values: Values) -> dict[str, list[float]]:
    """Category -> values."""
    found: dict[str, list[float]] = defaultdict(list)
    for case in sorted(values):
        found[case.split("/")[0]].append(values[case])
    return dict(found)


def told(values: Values, *, sign: bool) -> str:
    """`+0.12 [+0.01, +0.20], n 14`, of macro means; a dash for none."""
    if not values:
        return "–"
    held = strata(values)
    form = "+.3f" if sign else ".3f"
    ends = percentile_interval(held)
    interval = "" if ends is None else f" [{ends[0]:{form}}, {ends[1]:{form}}]"
    return f"{macro_mean(held):{form}}{interval}, n {len(values)}".replace("-", "−")


def differences(a: Values, b: Values, *, curves: bool | None = None) -> dict[str, float]:
    """Case -> a - b where both are; curves: only those, or all but those."""
    return {case: a[case] - b[case] for case in a if case in b and curves in (None, is_curve(case))}


def contrast_rows(found: Mapping[str, Values], contrasts: Sequence[Sequence[str]]) -> list[list[str]]:
    """A row for each contrast (a, b, question)."""
    rows = []
    for a, b, question in contrasts:
        cells = (told(differences(found[a], found[b], curves=which), sign=True) for which in (None, True))
        rows.append([question, f"`{a}` − `{b}`", *cells])
    return rows


def trial_rows(found: Mapping[str, Values], text: Mapping[str, Values], asked: int) -> list[list[str]]:
    """A row for each trial, over the references that every trial has, best first."""
    shared = set.intersection(*(set(values) for values in found.values()))
    rows = []
    for name, values in found.items():
        kept = {case: values[case] for case in sorted(shared)}
        curves = [value for case, value in kept.items() if is_curve(case)]
        rest = strata({case: value for case, value in kept.items() if not is_curve(case)})
        words = fmean(text[name][case] for case in shared if case in text[name])
        cells = [f"{fmean(held):.2f}" for held in rest.values()]
        rows.append([f"`{name}`", *cells, f"{macro_mean(rest):.3f}", f"{fmean(curves):.3f}", f"{words:.3f}"])
    rows.sort(key=lambda row: -float(row[-3]))
    names = list(strata({case: 0.0 for case in shared if not is_curve(case)}))
    note = f"curves ({sum(map(is_curve, shared))} of {asked} references that all trials have: {len(shared)})"
    return [["trial", *names, "mean of these", note, "text alignment"], *rows]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path)
    parser.add_argument("--sample", default="base")
    parser.add_argument("--metric", default="motion_fidelity")
    parser.add_argument("--contrast", nargs=3, action="append", default=[], metavar=("A", "B", "QUESTION"))
    parser.add_argument("--page", type=Path, required=True)
    args = parser.parse_args(argv)
    lines = [line for _, line in read_lines(args.found)]
    found, text = (values_of(lines, args.sample, metric) for metric in (args.metric, "text_alignment"))
    head, *rows = trial_rows(found, text, len({line["case"] for line in lines}))
    asked = ["question", "contrast", f"{args.metric}, all references [95%]", "curves with quick turns [95%]"]
    parts = [table(head, rows), table(asked, contrast_rows(found, args.contrast))]
    put_between(args.page, "\n\n".join(parts), empty=f"# {args.found.stem}\n\n{BEGIN}\n{END}\n")


if __name__ == "__main__":
    main()
