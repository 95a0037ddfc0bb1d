"""A study's tables, once, for the Markdown page and for the one in HTML."""

from __future__ import annotations

from dataclasses import dataclass

from motionbench.marked_page import table as markdown_table
from motionbench.metric import headline_of
from motionbench.summary import ALL
from motionbench.table import ABSENT, Table, interval, metric_title, number

from .declaration import SECONDS, Sweep
from .report import ContrastResult, StudyReport, VariantResult, published_metrics


@dataclass(frozen=True)
class ReportTable:
    """A table with its heading; note: what one must know to read it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def report_tables(report: StudyReport) -> list[ReportTable]:
    """All tables, in reading order; those without a row are left out."""
    made = [
        _overview(report),
        _by_category(report),
        _contrasts(report),
        _contrasts_by_category(report),
        *(_sweep(report, sweep) for sweep in report.study.sweeps),
        _published(report),
        _failures(report),
    ]
    return [one for one in made if one.rows]


def headline(report: StudyReport) -> str:
    """The metric that is shown by category: the headline if it was measured, else the first."""
    return headline_of(report.infos) or next(iter(report.infos))


def mean(result: VariantResult, metric: str, category: str = ALL) -> str:
    """A mean with its interval, or a dash."""
    row = result.rows.get((metric, category))
    return ABSENT if row is None else interval(row.mean, row.low, row.high)


def _overview(report: StudyReport) -> ReportTable:
    main = headline(report)
    metrics = [metric_title(info) for info in report.infos.values()]
    head = ("variant", *metrics, f"{main}, normalized", "s per fit", "s per clip", "on record", "failed")
    rows = []
    for result in report.distinct:
        row = result.rows.get((main, ALL))
        rows.append(
            (
                result.title,
                *(mean(result, metric) for metric in report.infos),
                number(None if row is None else row.normalized),
                *(_short(value) for value in (result.cost.fit_seconds, result.cost.generate_seconds)),
                f"{result.on_record} of {result.planned}",
                str(len(result.failures)),
            )
        )
    note = (
        "Macro means over categories with 95% bootstrap intervals over references. Normalized, 0 is the floor control "
        "and 1 the ceiling."
    )
    return ReportTable("Variants", head, tuple(rows), note)


def _short(value: float | int | None) -> str:
    return ABSENT if value is None else f"{value:.1f}"


def _by_category(report: StudyReport) -> ReportTable:
    main = headline(report)
    rows = [
        (result.title, *(mean(result, main, category) for category in report.categories))
        for result in report.distinct
        if result.rows
    ]
    return ReportTable(f"{main} by category", ("variant", *report.categories), tuple(rows))


def to_text(result: ContrastResult, metric: str, category: str = ALL) -> str:
    """A signed difference with its interval."""
    one = result.differences[metric, category]
    return interval(one.difference, one.low, one.high, sign=True)


def name_of(report: StudyReport, result: ContrastResult) -> str:
    """`a − b`, by title."""
    a, b = (report.variants[name].title for name in (result.contrast.a, result.contrast.b))
    return f"{a} − {b}"


def _contrasts(report: StudyReport) -> ReportTable:
    rows = []
    for result in report.new_contrasts:
        a, b = (report.variants[name].seconds for name in (result.contrast.a, result.contrast.b))
        ratio = ABSENT if a is None or not b else f"{a / b:.2f}"
        n = max((result.differences[metric, ALL].n_references for metric in report.infos), default=0)
        question = (result.contrast.question,) if any(one.contrast.question for one in report.new_contrasts) else ()
        cells = (to_text(result, metric) for metric in report.infos)
        rows.append((name_of(report, result), *question, *cells, ratio, str(n)))
    asked = ("question",) if any(one.contrast.question for one in report.new_contrasts) else ()
    head = ("contrast", *asked, *report.infos, "seconds, ratio", "references")
    note = "Paired over references, 95% bootstrap intervals; a difference is one only where the interval excludes 0."
    return ReportTable("Contrasts", head, tuple(rows), note)


def _contrasts_by_category(report: StudyReport) -> ReportTable:
    main = headline(report)
    rows = [
        (name_of(report, result), *(to_text(result, main, category) for category in report.categories))
        for result in report.new_contrasts
    ]
    return ReportTable(f"Contrasts of {main} by category", ("contrast", *report.categories), tuple(rows))


def _sweep(report: StudyReport, sweep: Sweep) -> ReportTable:
    main = headline(report)
    against = {c.contrast.a: c for c in report.contrasts if c.contrast.b == report.study.baseline}
    base = report.variants[report.study.baseline].title
    rows = []
    for value, name in zip(sweep.values, sweep.variants, strict=True):
        result = report.variants[name]
        gap = to_text(against[name], main) if name in against else ABSENT
        rows.append((value, *(mean(result, metric) for metric in report.infos), gap, _short(result.seconds)))
    head = (sweep.key, *report.infos, f"{main} − that of {base}", "s per fit and clip")
    return ReportTable(sweep.title, head, tuple(rows))


def _published(report: StudyReport) -> ReportTable:
    keys = [key for key in published_metrics(report.study) if key == SECONDS or key in report.infos]
    rows = []
    for result in report.new_contrasts:
        if not result.published:
            continue
        cells: list[str] = [name_of(report, result)]
        for key in keys:
            if key == SECONDS:
                cells += _seconds(report, result)
            else:
                cells += [
                    number(result.published.get(key), sign=True),
                    to_text(result, key),
                    result.verdicts.get(key, ""),
                ]
        rows.append(tuple(cells))
    head = ["contrast"]
    for key in keys:
        head += [f"{key}, published", "here", *(() if key == SECONDS else ("agree",))]
    note = (
        f"Published numbers: {report.study.source}. They have no interval, and are of another backbone and other clips."
    )
    return ReportTable("Beside the published numbers", tuple(head), tuple(rows), note)


def _seconds(report: StudyReport, result: ContrastResult) -> list[str]:
    """The ratio of times in the paper, and here."""
    a, b = (report.variants[name] for name in (result.contrast.a, result.contrast.b))
    paper = ABSENT
    if SECONDS in a.published and b.published.get(SECONDS):
        paper = f"× {a.published[SECONDS] / b.published[SECONDS]:.2f}"
    here = ABSENT if a.seconds is None or not b.seconds else f"× {a.seconds / b.seconds:.2f}"
    return [paper, here]


def _failures(report: StudyReport) -> ReportTable:
    rows = [
        (result.title, one.case_id, str(one.seed), str(one.reason), str(one.error))
        for result in report.distinct
        for one in result.failures
    ]
    return ReportTable("Failures", ("variant", "case", "seed", "reason", "error"), tuple(rows))


def to_markdown(report: StudyReport, command: str, *, level: int = 2) -> str:
    """The tables with their headings, the facts they rest on, and how to make them again; no heading of the page."""
    mark = "#" * level
    parts = [*([report.study.about] if report.study.about else []), facts_line(report), *report.notes]
    for one in report_tables(report):
        rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in one.rows]
        parts += [f"{mark} {one.title}", *([one.note] if one.note else []), markdown_table(one.head, rows)]
    parts += [f"{mark} Made by", f"```bash\n{command}\n```", f"```toml\n{report.study.text.strip()}\n```"]
    return "\n\n".join(parts)


def facts_line(report: StudyReport) -> str:
    """What the numbers rest on, in a line."""
    return " · ".join(f"{name}: {value}" for name, value in report.facts.items())


def overview_tables(report: StudyReport) -> list[Table]:
    """What the command prints: the headline of each variant, and its contrasts."""
    main = headline(report)
    variants = Table(("variant", f"{main} [95%]", "normalized", "on record"))
    rows = variants.section("")
    for result in report.distinct:
        row = result.rows.get((main, ALL))
        scaled = number(None if row is None else row.normalized)
        rows.append((result.title, mean(result, main), scaled, f"{result.on_record} of {result.planned}"))
    contrasts = Table(("contrast", f"{main} [95%]", "references"))
    lines = contrasts.section("")
    for one in report.new_contrasts:
        lines.append((name_of(report, one), to_text(one, main), str(one.differences[main, ALL].n_references)))
    return [table for table in (variants, contrasts) if table.sections[0][1]]
