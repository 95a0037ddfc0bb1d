"""How stable is the split of the heads? Agreement of assignments over times, draws, prompts and clips.

    python benchmarks/head_stability.py --split splits/tuning --limit 2 --out stability.jsonl

Each line of the file is one look at one reference: its prompt, the flow time, the draw of the noise, and the scores of
all heads. What is there is not looked at again. Then the table is printed: for each factor, how alike the assignments
of two looks are that differ in this factor alone, by the paper's rule and by the released one. share: of heads given
the same kind; kappa: the same beyond what the numbers of either kind would give by chance (Cohen). Intervals are over
references.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from motionbench.methods.followyourmotion.heads import HeadRule, HeadScores
from numpy.typing import NDArray

from motionbench import registry
from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.config import build_config
from motionbench.device import resolve_device
from motionbench.files import append_line, canonical_json, read_lines
from motionbench.job import resolve_dtype
from motionbench.marked_page import table
from motionbench.method import Runtime
from motionbench.split import Split, read_split

FACTORS = ("reference", "prompt", "time", "draw")
Kinds = NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """One look at the heads. prompt: `own`, the reference's caption, or `other`, that of another reference."""

    reference: str
    prompt: str
    time: float
    draw: int


def agreement(a: Kinds, b: Kinds) -> tuple[float, float | None]:
    """Share of heads (L, K) of the same kind, and Cohen's kappa; None where chance alone would agree wholly."""
    share = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return share, None if chance > 1 - 1e-12 else (share - chance) / (1 - chance)


def pairs_that_differ(looks: Iterable[Look], factor: str) -> Iterator[tuple[Look, Look]]:
    """All pairs of looks that differ in this factor and in no other."""
    groups: dict[tuple[Any, ...], list[Look]] = defaultdict(list)
    for look in looks:
        groups[tuple(getattr(look, name) for name in FACTORS if name != factor)].append(look)
    for members in groups.values():
        yield from combinations(members, 2)


def stability(kinds: Mapping[Look, Kinds], factor: str) -> dict[str, Any]:
    """Mean share and kappa over pairs, references first: n pairs, and the 95% interval of either over references.

    A pair of two references counts for both of them. None where no two looks differ in the factor alone.
    """
    found: dict[str, dict[str, list[float]]] = {"share": defaultdict(list), "kappa": defaultdict(list)}
    count = 0
    for a, b in pairs_that_differ(kinds, factor):
        share, kappa = agreement(kinds[a], kinds[b])
        count += 1
        for reference in {a.reference, b.reference}:
            found["share"][reference].append(share)
            if kappa is not None:
                found["kappa"][reference].append(kappa)
    return {"pairs": count, **{name: _mean(values) for name, values in found.items()}}


def _mean(values: Mapping[str, Sequence[float]]) -> dict[str, float] | None:
    strata: dict[str, list[float]] = defaultdict(list)
    for reference in sorted(values):
        strata[reference.partition("/")[0]].append(float(np.mean(values[reference])))
    if not strata:
        return None
    low, high = percentile_interval(strata) or (float("nan"), float("nan"))
    return {"mean": macro_mean(strata), "low": low, "high": high}


def told(value: dict[str, float] | None) -> str:
    """`0.93 [0.91, 0.95]`."""
    if value is None:
        return "–"
    ends = "" if np.isnan(value["low"]) else f" [{value['low']:.2f}, {value['high']:.2f}]"
    return f"{value['mean']:.2f}{ends}"


def to_table(scores: Mapping[Look, HeadScores], alphas: Sequence[float]) -> str:
    """A line for each rule and factor, and the share of temporal heads; the paper's rule at each alpha."""
    rows = []
    rules: list[tuple[str, HeadRule, float]] = [(f"paper, alpha {alpha:g}", "paper", alpha) for alpha in alphas]
    for told_rule, rule, alpha in [*rules, ("released", "released", 1.0)]:
        kinds = {look: held.is_temporal(rule, alpha=alpha) for look, held in scores.items()}
        temporal = float(np.mean([one.mean() for one in kinds.values()]))
        for factor in FACTORS:
            found = stability(kinds, factor)
            cells = (told(found["share"]), told(found["kappa"]), str(found["pairs"]), f"{temporal:.2f}")
            rows.append((told_rule, factor, *cells))
    return table(["rule", "looks differ in", "same kind", "kappa", "pairs", "temporal"], rows)


def all_looks(split: Split, limit: int, times: Sequence[float], draws: int) -> list[Look]:
    """Every look at the first `limit` references of each category, by reference."""
    references = sorted({case.reference_id for case in split.select(limit=limit)})
    return [Look(*one) for one in product(references, ("own", "other"), times, range(draws))]


class Observatory:
    """Looks at heads through the method's own classification, one time and draw at once."""

    def __init__(self, split: Split, backbone: str, device: str) -> None:
        self.split = split
        method = registry.load("methods", "followyourmotion")
        config = replace(build_config(method, backbone=backbone), head_draws=1)
        self.made = method.create(config, Runtime(backbone, resolve_device(device), resolve_dtype("auto", backbone)))
        self.cases = {case.reference_id: case for case in split.cases}

    def look(self, look: Look) -> HeadScores:
        """The scores of all heads."""
        self.made.config = replace(self.made.config, head_times=(look.time,))
        case = self.cases[look.reference]
        clip = self.made.backbone.prepare(self.split.read_reference(case))
        others = sorted(self.cases)
        other = self.cases[others[(others.index(look.reference) + 1) % len(others)]]
        caption = case.caption if look.prompt == "own" else other.caption
        scores: HeadScores = self.made.score_heads([(clip, caption)], seed=look.draw)
        return scores


def read_looks(path: Path) -> dict[Look, HeadScores]:
    """The looks of a file."""
    return {Look(**line["look"]): HeadScores.from_json(line["scores"]) for _, line in read_lines(path)}


def main(
    split: Annotated[str, typer.Option("--split", help="Split to look at.")] = "mini",
    limit: Annotated[int, typer.Option("--limit", min=1, help="References of each category.")] = 2,
    times: Annotated[str, typer.Option("--times", help="Flow times, with commas.")] = "0.1,0.25,0.5,0.75,0.9,0.999",
    draws: Annotated[int, typer.Option("--draws", min=1, help="Draws of the noise.")] = 3,
    alpha: Annotated[str, typer.Option("--alpha", help="Of the paper's rule, with commas.")] = "1.25,2",
    backbone: Annotated[str, typer.Option("--backbone", help="Text-to-video model.")] = "tiny",
    device: Annotated[str, typer.Option("--device", help="Where to compute.")] = "auto",
    out: Annotated[Path, typer.Option("--out", help="Looks, one a line.")] = Path("head_stability.jsonl"),
    page: Annotated[Path | None, typer.Option("--page", help="File for the table; else it is printed.")] = None,
) -> None:
    """Look at the heads, and say how stable their split is."""
    held = read_split(split)
    done = read_looks(out)
    wanted = all_looks(held, limit, [float(time) for time in times.split(",")], draws)
    missing = [look for look in wanted if look not in done]
    observatory = Observatory(held, backbone, device) if missing else None
    for look in missing:
        assert observatory is not None  # for the type checker
        done[look] = observatory.look(look)
        append_line(out, canonical_json({"look": look.__dict__, "scores": done[look].to_json()}))
    text = to_table({look: done[look] for look in wanted}, [float(value) for value in alpha.split(",")])
    if page is None:
        typer.echo(text)
    else:
        page.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
