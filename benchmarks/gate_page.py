"""Write the tables of the reversed-reference gate as Markdown: no number in docs/results/gate.md is typed by hand.

Example (the page is that of the file, between its marks):
  python benchmarks/gate_page.py methods/gate.json --page docs/results/gate.md
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motionbench.gate import gate_of, read_gate_file
from motionbench.marked_page import put_between, table

VERDICT = Mapping[str, Any]


def number(value: float | None, sign: str = "+") -> str:
    """Two places, or a dash for what is missing."""
    return "–" if value is None else f"{value:{sign}.2f}"


def _is_control(name: str) -> bool:
    return gate_of(name).state == "exempt"


def verdicts(gates: Mapping[str, VERDICT]) -> str:
    """Who passes: best first, controls below."""
    head = ["method", "own", "other direction", "difference [95% interval]", "references", "failed clips", "gate"]
    order = sorted(gates, key=lambda name: (_is_control(name), -(gates[name]["difference"] or -9), name))
    return table(head, [_verdict(name, gates[name]) for name in order])


def _verdict(name: str, held: VERDICT) -> list[str]:
    outcome = "passed" if held["passed"] else "**not passed**"
    return [
        f"`{name}`" + (" (control)" if _is_control(name) else ""),
        number(held["own"]),
        number(held["other"]),
        f"{number(held['difference'])} [{number(held['low'])}, {number(held['high'])}]",
        str(held["n_references"]),
        str(held["n_failed"]),
        outcome,
    ]


def by_reference(gates: Mapping[str, VERDICT]) -> str:
    """Each reference's difference, both directions averaged."""
    names = sorted({name for held in gates.values() for name in held["references"]})
    rows = [
        [f"`{method}`", *(number(held["references"].get(name)) for name in names)]
        for method, held in sorted(gates.items())
    ]
    return table(["method", *(f"`{name}`" for name in names)], rows)


def costs(gates: Mapping[str, VERDICT]) -> str:
    """What a fit and a clip take, and the configuration that was put to the gate."""
    rows = []
    for method, held in sorted(gates.items()):
        cost = held["cost"]
        memory = cost["peak_memory_bytes"]
        rows.append(
            [
                f"`{method}`",
                held["preset"] or f"config {held['config_hash']}",
                _seconds(cost["fit_seconds"]),
                _seconds(cost["generate_seconds"]),
                "–" if memory is None else f"{memory / 2**30:.2f}",
                ", ".join(filter(None, held["commits"])) or "–",
                held["date"],
            ]
        )
    return table(["method", "preset", "s per fit", "s per clip", "peak GiB", "commit", "date"], rows)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def versions(gates: Mapping[str, VERDICT]) -> str:
    """Metric, tracker, split, backbone and device, each as often as there are different ones."""
    facts = {
        "Metric": {f"{held['metric']} v{held['metric_version']}" for held in gates.values()},
        "Tracker": {held["tracker"] for held in gates.values()},
        "Split": {held["split"] for held in gates.values()},
        "Backbone": {f"{h['backbone']} {h['backbone_revision']}" for h in gates.values() if h["backbone_revision"]},
        "Seeds": {", ".join(map(str, held["seeds"])) for held in gates.values()},
        "Device": {held["device"] for held in gates.values()},
    }
    return " · ".join(f"{name}: {' and '.join(sorted(values))}" for name, values in facts.items())


def page(gates: Mapping[str, VERDICT]) -> str:
    """All tables."""
    parts = [verdicts(gates), versions(gates), "Difference by reference:", by_reference(gates)]
    return "\n\n".join([*parts, "What it cost and what was run:", costs(gates)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gate", type=Path)
    parser.add_argument("--page", type=Path, help="the file whose tables are replaced; else they are printed")
    args = parser.parse_args()
    text = page(read_gate_file(args.gate).methods)
    if args.page is None:
        print(text)
        return
    try:
        put_between(args.page, text)
    except ValueError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
