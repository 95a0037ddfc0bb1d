"""Write the tables of results of one split as Markdown: no number in docs/results/lite.md is typed by hand.

Example (the page is that of the file, between its marks; the README's table likewise):
  python benchmarks/results_page.py docs/results/records/lite --against backbone --against followyourmotion \
    --page docs/results/lite.md --readme README.md

A row is a results folder, or an archive that `motionbench results pack` made of one, and named like it; a folder of
either stands for all in it. They must be scored by the same metrics, with the controls beside them; which of those is
the headline, judges the prompt, or marks floor and ceiling is what the metrics say of themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from motionbench.leaderboard.archives import unpacked
from scipy.stats import spearmanr

from motionbench import registry
from motionbench.bootstrap import macro_mean
from motionbench.comparison import Difference, compare
from motionbench.marked_page import put_between, table
from motionbench.metric import MetricInfo, headline_of
from motionbench.record import Row
from motionbench.scorer import metric_infos
from motionbench.store import ResultStore
from motionbench.summary import ALL, Attempts, cost, values_to_strata

STARTS = {"noise": "noise", "noised_reference": "noised reference", "inverted": "inverted", "none": "–"}


def number(value: float | None, sign: str = "", places: int = 3) -> str:
    """A number, or a dash for what is missing."""
    return "–" if value is None else f"{value:{sign}.{places}f}".replace("-", "−")


def interval(mean: float | None, low: float | None, high: float | None, sign: str = "", places: int = 3) -> str:
    """`mean [low, high]`."""
    middle, *ends = (number(value, sign, places) for value in (mean, low, high))
    return middle if low is None or high is None else f"{middle} [{', '.join(ends)}]"


class Run:
    """A scored results folder: its summary and, for differences, its attempts."""

    def __init__(self, folder: Path, cost_seed: int | None = None) -> None:
        store = ResultStore(folder)
        summary = store.read_summary()
        if summary is None:
            raise SystemExit(f"{folder} has no summary.json; run `motionbench score {folder}`")
        self.name = folder.name
        self.method = str(summary.configuration["method"])
        self.summary = summary
        self.infos: Mapping[str, MetricInfo] = metric_infos(list(summary.metrics))
        headline = headline_of(self.infos)
        if headline is None:
            raise SystemExit(f"{folder} has no score by which methods are ranked; run `motionbench score {folder}`")
        self.headline = headline
        self.of_text = [name for name, info in self.infos.items() if info.measures == "text"]
        self.others = [name for name in self.infos if name not in (headline, *self.of_text)]
        self.attempts = Attempts.read(store, self.infos)
        paid = self.attempts.records if cost_seed is None else of_seed(self.attempts, cost_seed).records
        self.cost = cost(paid)
        self.device = store.read_run()["environment"]["device"]

    def row(self, metric: str, category: str = ALL, method: str | None = None) -> Row:
        """A published number, of the method or of a control."""
        wanted = (method or self.method, metric, category)
        return next(
            r for r in (*self.summary.rows, *self.summary.control_rows) if (r.method, r.metric, r.category) == wanted
        )

    def mean(self, metric: str, category: str = ALL) -> str:
        """A mean with its interval."""
        row = self.row(metric, category)
        return interval(row.mean, row.low, row.high)

    @property
    def categories(self) -> list[str]:
        """The categories of its cases."""
        return sorted({r.category for r in self.summary.rows} - {ALL})


def best_first(runs: Sequence[Run]) -> list[Run]:
    """By the headline metric; what has no value comes last."""
    means = {run.name: run.row(run.headline).mean for run in runs}
    return sorted(runs, key=lambda run: (means[run.name] is None, -(means[run.name] or 0.0)))


def overview(runs: Sequence[Run]) -> str:
    """One row a folder: the headline, what it cost the prompt, the other metrics, seconds and memory."""
    first = runs[0]
    head = [
        *_beginning(first),
        *(f"{heading(first, name)} [95%]" for name in first.of_text),
        *(heading(first, name) for name in first.others),
        *("s per fit", "s per clip", "peak GiB", "failed", "gate"),
    ]
    return table(head, [_overview(run) for run in runs])


def heading(run: Run, metric: str) -> str:
    """What a column of a metric is called; of one whose best value is 0, that it is so."""
    info = run.infos[metric]
    return info.heading.lower() + (" (0 is best)" if info.better == "zero" else "")


def _beginning(run: Run) -> list[str]:
    return ["method", "trained", "starts from", f"{heading(run, run.headline)} [95%]", "normalized"]


def _overview(run: Run) -> list[str]:
    memory = run.cost.peak_memory_bytes
    return [
        *_begin(run),
        *map(run.mean, run.of_text),
        *(number(run.row(name).mean) for name in run.others),
        _seconds(run.cost.fit_seconds),
        _seconds(run.cost.generate_seconds),
        "–" if memory is None else f"{memory / 2**30:.2f}",
        str(len(run.summary.failures)),
        _gate(run),
    ]


def _begin(run: Run) -> list[str]:
    """What every table of methods begins with: name, kind, and the headline as it is and normalized."""
    contract = registry.load("methods", run.method).contract
    trained, start = "per clip" if contract.trains else "no", STARTS[contract.start_latent]
    normalized = number(run.row(run.headline).normalized, places=2)
    return [f"`{run.name}`", trained, start, run.mean(run.headline), normalized]


def _gate(run: Run) -> str:
    """Where the method stands; a verdict is of one configuration."""
    gate, own = run.summary.gate, run.summary.configuration["config_hash"]
    if gate["state"] == "exempt":
        return "–"
    return str(gate["state"]) + ("" if gate.get("config_hash", own) == own else ", with its preset")


def _seconds(value: float | None) -> str:
    return number(value, places=1)


def by_category(runs: Sequence[Run]) -> str:
    """The headline in each category."""
    categories = runs[0].categories
    rows = [[f"`{run.name}`", *(run.mean(run.headline, c) for c in categories)] for run in runs]
    return table(["method", *categories], rows)


def by_seed(runs: Sequence[Run]) -> str:
    """The headline and rank under each seed alone, and the paired difference of the last seed to the first."""
    seeds = sorted({record.seed for run in runs for record in run.attempts.records})
    parts = {(run.name, seed): of_seed(run.attempts, seed) for run in runs for seed in seeds}
    headline = runs[0].headline
    means = {key: macro_mean(values_to_strata(part.case_values(headline))) for key, part in parts.items()}
    head = ["method", *(text for seed in seeds for text in (f"seed {seed}", "rank"))]
    head.append(f"seed {seeds[-1]} − seed {seeds[0]} [95%]")
    rows = []
    for run in runs:
        ranks = [1 + sum(means[other.name, seed] > means[run.name, seed] for other in runs) for seed in seeds]
        cells = [
            text for seed, rank in zip(seeds, ranks, strict=True) for text in (number(means[run.name, seed]), rank)
        ]
        found = compare(parts[run.name, seeds[-1]], parts[run.name, seeds[0]], [headline])
        rows.append([f"`{run.name}`", *map(str, cells), told(next(d for d in found if d.category == ALL))])
    ranked = [run for run in runs if run.name == run.method and run.summary.gate["state"] != "exempt"]
    return f"{table(head, rows)}\n\n{agreement(ranked, means, (seeds[0], seeds[-1]))}"


def agreement(runs: Sequence[Run], means: Mapping[tuple[str, int], float], seeds: tuple[int, int]) -> str:
    """How alike two seeds order these runs: Spearman's correlation and the pairs that change places."""
    one, other = ([means[run.name, seed] for run in runs] for seed in seeds)
    pairs = [(i, j) for i in range(len(runs)) for j in range(i)]
    turned = sum((one[i] - one[j]) * (other[i] - other[j]) < 0 for i, j in pairs)
    rho = float(spearmanr(one, other).statistic) if pairs else 1.0
    return (
        f"Ranks of the {len(runs)} methods under seeds {seeds[0]} and {seeds[1]}: Spearman's correlation "
        f"{number(rho, places=2)}; {turned} of {len(pairs)} pairs change places."
    )


def of_seed(attempts: Attempts, seed: int) -> Attempts:
    """The attempts of one seed alone."""
    return replace(attempts, records=tuple(record for record in attempts.records if record.seed == seed))


def has_seeds(runs: Sequence[Run]) -> bool:
    """Whether every run has attempts of the same seeds, and of several."""
    seeds = {frozenset(record.seed for record in run.attempts.records) for run in runs}
    return len(seeds) == 1 and len(seeds.pop()) > 1


def controls(run: Run) -> str:
    """Floor, ceiling and copy, on the same cases."""
    names = sorted({row.method for row in run.summary.control_rows})
    metrics, categories = list(run.summary.metrics), run.categories
    head = ["control", *(f"{run.headline}, {c}" for c in categories), *(f"{m}, all" for m in metrics)]
    cells = [(run.headline, c) for c in categories] + [(m, ALL) for m in metrics]
    rows = [[f"`{name}`", *(number(run.row(m, c, name).mean) for m, c in cells)] for name in names]
    return table(head, rows)


def differences(runs: Sequence[Run], others: Sequence[Run]) -> str:
    """The headline and what judges the prompt, paired with those of other runs."""
    head = ["method", *(f"{metric} − that of `{other.name}`" for other in others for metric in _paired(other))]
    return table(head, [[f"`{run.name}`", *_differences(run, others)] for run in runs])


def _paired(run: Run) -> list[str]:
    return [run.headline, *run.of_text]


def _differences(run: Run, others: Sequence[Run]) -> list[str]:
    cells = []
    for other in others:
        metrics = _paired(other)
        if other is run:
            cells += ["–"] * len(metrics)
            continue
        overall = {d.metric: d for d in compare(run.attempts, other.attempts, metrics) if d.category == ALL}
        cells += [told(overall[metric]) for metric in metrics]
    return cells


def told(difference: Difference) -> str:
    """A difference with its interval, signed."""
    return interval(difference.difference, difference.low, difference.high, "+")


def contrast(a: Run, b: Run) -> str:
    """Every paired difference of two runs, by metric and category."""
    found = compare(a.attempts, b.attempts, list(a.infos))
    categories = [*a.categories, ALL]
    cells = {(d.metric, d.category): told(d) for d in found}
    return table(["metric", *categories], [[m, *(cells[m, c] for c in categories)] for m in a.infos])


def facts(runs: Sequence[Run]) -> str:
    """Versions, backbone, split and devices, each as often as there are different ones."""
    configurations = [run.summary.configuration for run in runs]
    held = {
        "Metrics": {f"{name} v{info.version}" for run in runs for name, info in run.infos.items()},
        "Tracker": {t for run in runs for names in run.summary.trackers.values() for t in names},
        "Split": {f"{c['split']} {c['split_revision']}" for c in configurations},
        "Backbone": {f"{c['backbone']} {c['backbone_revision']}" for c in configurations if c["backbone_revision"]},
        "Seeds": {str(record.seed) for run in runs for record in run.attempts.records},
        "Device": {run.device for run in runs},
    }
    return " · ".join(f"{name}: {', '.join(sorted(values))}" for name, values in held.items())


def page(runs: Sequence[Run], against: Sequence[Run], contrasts: Sequence[tuple[Run, Run]]) -> str:
    """All tables."""
    parts = [
        overview(runs),
        facts(runs),
        f"{runs[0].infos[runs[0].headline].heading} by category:",
        by_category(runs),
        "Paired differences over references, with 95% intervals:",
        differences(runs, against),
    ]
    if has_seeds(runs):
        parts += ["Under each seed alone:", by_seed(runs)]
    for a, b in contrasts:
        parts += [f"`{a.name}` − `{b.name}`, paired:", contrast(a, b)]
    return "\n\n".join([*parts, "Controls, means on the same cases:", controls(runs[0])])


def short_table(runs: Sequence[Run]) -> str:
    """The README's: fewer columns, with the ceiling and the floor as rows."""
    first = runs[0]
    texts = [heading(first, name) for name in first.of_text]
    info, present = first.infos[first.headline], {row.method for row in first.summary.control_rows}
    ceiling = [_control_row(first, name, "ceiling") for name in info.ceiling if name in present][:1]
    floor = [_control_row(first, info.floor, "floor")] if info.floor in present else []
    head = [*_beginning(first), *texts, "s per fit / clip", "follows the direction"]
    return table(head, [*ceiling, *(_short_row(run) for run in runs), *floor])


def _short_row(run: Run) -> list[str]:
    gate = run.summary.gate
    seconds = f"{_seconds(run.cost.fit_seconds)} / {_seconds(run.cost.generate_seconds)}"
    said = {"exempt": "(no transfer)", "passed": "yes"}.get(gate["state"], "**unvalidated**")
    if gate.get("difference") is not None:
        said += f": {interval(gate['difference'], gate['low'], gate['high'], '+', places=2)}"
    return [*_begin(run), *(number(run.row(name).mean) for name in run.of_text), seconds, said]


def _control_row(run: Run, name: str, role: str) -> list[str]:
    row = run.row(run.headline, ALL, name)
    mean, normalized = interval(row.mean, row.low, row.high), number(row.normalized, places=2)
    texts = [number(run.row(metric, ALL, name).mean) for metric in run.of_text]
    return [f"`{name}` ({role})", "", "", mean, normalized, *texts, "", ""]


def results_folders(place: Path) -> list[Path]:
    """The folder itself, or those of the results in it."""
    below = sorted(path.parent for path in place.glob("*/run.json"))
    return below if below and not (place / "run.json").is_file() else [place]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--against", action="append", default=[], metavar="NAME", help="differences to this folder")
    parser.add_argument("--contrast", nargs=2, action="append", default=[], metavar="NAME", help="a pair, in full")
    parser.add_argument("--page", type=Path, help="the file whose tables are replaced; else they are printed")
    parser.add_argument("--readme", type=Path, help="the file whose short table is replaced")
    parser.add_argument("--cost-seed", type=int, metavar="SEED", help="seconds and memory of this seed alone: of seeds "
                        "that were made under other circumstances a mean compares with nothing")  # fmt: skip
    args = parser.parse_args(argv)
    with unpacked(args.results) as places:
        runs = best_first([Run(folder, args.cost_seed) for place in places for folder in results_folders(place)])
    by_name = {run.name: run for run in runs}
    contrasts = [(by_name[a], by_name[b]) for a, b in args.contrast]
    text = page(runs, [by_name[name] for name in args.against], contrasts)
    if args.page is None:
        print(text)
    else:
        put_between(args.page, text)
    if args.readme is not None:
        plain = [run for run in runs if run.name == run.method]  # the presets; other settings are told by the page
        put_between(args.readme, short_table(plain))


if __name__ == "__main__":
    main()
