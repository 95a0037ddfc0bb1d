"""Where methods break: motion fidelity by groups of references, such as those of three, four and five objects.

    motionbench data build crowd --out splits/crowd
    python benchmarks/groups_page.py docs/results/records/crowd.tar.xz --split splits/crowd --by objects \
      --page docs/results/crowd.md

References are grouped by how many objects their captions name (`objects`) or by the course they take (`course`, the
last tag of the manifest). Seeds of a case are averaged first; intervals resample references. `lost`: the share of
clips below 0.5, at which a clip follows something else.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from motionbench.leaderboard.archives import unpacked

from motionbench.bootstrap import percentile_interval
from motionbench.case import Case
from motionbench.marked_page import put_between, table
from motionbench.scorer import metric_infos
from motionbench.split import read_split
from motionbench.store import ResultStore
from motionbench.summary import Attempts

HEADLINE, TEXT = "motion_fidelity", "text_alignment"
LOST = 0.5
GROUPS: Mapping[str, Callable[[Case], str]] = {
    "objects": lambda case: f"{case.caption.count(' and ') + 1} objects",
    "course": lambda case: case.tags[-1].replace("_", " "),
}


def read(results: Sequence[Path]) -> dict[str, tuple[ResultStore, Attempts]]:
    """Folder name -> what it holds, of every results folder in these places."""
    infos = metric_infos([HEADLINE, TEXT])
    folders = sorted(path.parent for place in results for path in place.glob("**/run.json"))
    held = {folder.name: (ResultStore(folder), Attempts.read(ResultStore(folder), infos)) for folder in folders}
    bare = [name for name, (_, attempts) in held.items() if not attempts.case_values(HEADLINE)]
    if bare or not held:
        raise SystemExit(
            f"no {HEADLINE} in {', '.join(bare) or 'these places'}; run `motionbench score` on each folder"
        )
    return held


def page(held: Mapping[str, tuple[ResultStore, Attempts]], group_of: Mapping[str, str]) -> str:
    """The table, best first, and what it rests on."""
    groups = sorted(set(group_of.values()))
    rows = [(name, _row(attempts, group_of, groups)) for name, (_, attempts) in held.items()]
    rows.sort(key=lambda row: -row[1][0])
    counts = {group: sum(other == group for other in group_of.values()) for group in groups}
    head = ["method", *(f"{group} (n {counts[group]})" for group in groups), "all [95%]", "lost", "text alignment"]
    return "\n\n".join([table(head, [[f"`{name}`", *cells] for name, (_, cells) in rows]), facts(held)])


def _row(attempts: Attempts, group_of: Mapping[str, str], groups: Sequence[str]) -> tuple[float, list[str]]:
    """The mean that rows are ordered by, and the cells."""
    values, words = attempts.case_values(HEADLINE), attempts.case_values(TEXT)
    inside: dict[str, list[float]] = defaultdict(list)
    for case, value in sorted(values.items()):
        inside[group_of[case]].append(value)
    cells = [f"{fmean(inside[group]):.3f}" if group in inside else "–" for group in groups]
    clips = [value for record in attempts.records if (value := attempts.value(record, HEADLINE)) is not None]
    mean, ends = fmean(values.values()), percentile_interval({"all": list(values.values())})
    around = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    lost = f"{sum(clip < LOST for clip in clips)} of {len(attempts.records)}"
    text = [f"{mean:.3f}{around}", lost, f"{fmean(words.values()):.3f}" if words else "–"]
    return mean, [cell.replace("-", "−") for cell in [*cells, *text]]


def facts(held: Mapping[str, tuple[ResultStore, Attempts]]) -> str:
    """Seeds, metric, tracker, split, backbone and device."""
    runs = [store.read_run() for store, _ in held.values()]
    attempts = [found for _, found in held.values()]
    told = {
        "Seeds": {str(record.seed) for found in attempts for record in found.records},
        "Metric": {f"{HEADLINE} v{info.version}" for info in metric_infos([HEADLINE]).values()},
        "Tracker": {name for found in attempts for name in found.basis(HEADLINE).trackers},
        "Split": {f"{run['configuration']['split']} {run['configuration']['split_revision']}" for run in runs},
        "Device": {str(run["environment"]["device"]) for run in runs},
    }
    return " · ".join(f"{name}: {', '.join(sorted(values))}" for name, values in told.items())


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders, or archives of `study_records.py pack`")
    parser.add_argument("--split", required=True, help="where the references' manifest lies")
    parser.add_argument("--by", choices=list(GROUPS), default="objects")
    parser.add_argument("--page", type=Path, required=True)
    args = parser.parse_args(argv)
    group_of = {case.id: GROUPS[args.by](case) for case in read_split(args.split).cases}
    with unpacked(args.results) as places:
        text = page(read(places), group_of)
    put_between(args.page, text)


if __name__ == "__main__":
    main()
