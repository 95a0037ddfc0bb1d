"""The gate's verdicts: where they are found, how they read, and what the measurement behind them does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attempt_tables import make_attempts, make_info
from motionbench.leaderboard.facts import method_facts

from motionbench import registry
from motionbench.gate import NOT_RUN, gate_of, read_gate_file, verdict_to_gate
from motionbench.job import resolve
from motionbench.plan import RunPlan
from motionbench.summary import make_summary
from motionbench.table import notes, summary_table

ROOT = Path(__file__).parents[2]
VERDICT = {
    "passed": False,
    "difference": 0.05,
    "low": -0.1,
    "high": 0.2,
    "n_failed": 0,
    "backbone": "tiny",
    "backbone_revision": "b1",
    "config_hash": "c1",
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A method `swing` of another package, `outside.deep.module`; returns the folder of `outside`."""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    for path in (folder / "__init__.py", folder / "deep/__init__.py"):
        path.write_text("raise ImportError('reading a gate imports nothing')\n")
    (folder / "deep/module.py").write_text('class Swing:\n    """Swings."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    point = registry.EntryPoint("swing", "outside.deep.module:Swing", "motionbench.methods")
    known = registry._points
    monkeypatch.setattr(registry, "_points", lambda group: {**known(group), point.name: point})
    return folder


def write_gate(folder: Path, verdict: dict[str, Any], method: str = "swing", schema: int = 1) -> None:
    (folder / "gate.json").write_text(json.dumps({"schema": schema, "methods": {method: verdict}}))


def test_a_gate_file_beside_the_module_or_around_it_is_found_and_the_nearest_counts(installed: Path) -> None:
    assert gate_of("swing").note == NOT_RUN
    write_gate(installed, VERDICT)
    assert gate_of("swing").mark == "unvalidated: follows the direction by +0.05 [-0.10, +0.20] on tiny"
    write_gate(installed / "deep", {**VERDICT, "passed": True, "low": 0.01})
    assert gate_of("swing").mark == "gate passed"
    write_gate(installed / "deep", VERDICT, method="another")
    assert gate_of("swing").state == "unvalidated"
    write_gate(installed.parent, {**VERDICT, "passed": True})  # outside the package: nobody's
    assert gate_of("swing").state == "unvalidated"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "methods": {"swing": {"passed": "yes"}}}'])
def test_a_malformed_file_costs_the_method_its_mark_and_nobody_the_list(installed: Path, text: str) -> None:
    (installed / "gate.json").write_text(text)
    assert gate_of("swing").state == "unvalidated"
    assert "gate.json: expected the file" in gate_of("swing").note


def test_another_schema_is_said(installed: Path) -> None:
    write_gate(installed, VERDICT, schema=7)
    assert "expected schema 2 or older, got 7" in gate_of("swing").note


def test_controls_and_clips_made_elsewhere_have_no_gate() -> None:
    exempt = [name for path in ("methods", "data_cards") for name in read_gate_file(ROOT / path / "gate.json").exempt]
    assert {gate_of(name).state for name in exempt} == {"exempt"}
    controls = {name for name in registry.names("methods") if registry.load("methods", name).contract.is_control}
    assert controls == set(exempt) - {"folder"}
    assert gate_of("backbone").mark == ""


def test_the_note_says_failures_missing_values_and_other_settings() -> None:
    same = {"config_hash": "c1", "backbone": "tiny", "backbone_revision": "b1"}
    assert verdict_to_gate(VERDICT, same).note == "follows the direction by +0.05 [-0.10, +0.20] on tiny"
    assert verdict_to_gate(VERDICT, {**same, "config_hash": "c2"}).note.endswith(", with other settings than here")
    nothing = {**VERDICT, "difference": None, "low": None, "high": None, "n_failed": 8}
    assert verdict_to_gate(nothing).note == "could not be measured, 8 clips failed on tiny"


def test_tables_mark_what_is_unvalidated_and_leave_alone_what_passed(installed: Path) -> None:
    run = {"configuration": {"method": "swing", "backbone": "tiny", "split": "mini", "split_revision": "r1"}}
    attempts = make_attempts({f"camera/{i:04}/0": [0.5] for i in range(3)}, method="swing")

    def shown() -> tuple[str, list[str]]:
        summary = make_summary(run["configuration"], attempts, {}, {"fidelity": make_info()})
        return str(summary_table(summary).title), [line for line in notes(summary) if line.startswith("†")]

    title, footnotes = shown()
    assert title.startswith("swing † · tiny")
    assert footnotes == [f"† unvalidated: {NOT_RUN}."]
    write_gate(installed, {**VERDICT, "passed": True})
    assert shown() == ("swing · tiny · mini r1", [])


def test_the_leaderboard_reads_the_same_file_unless_the_results_state_a_gate(installed: Path) -> None:
    write_gate(installed, {**VERDICT, "passed": True, "low": 0.02})
    assert method_facts("swing", [{}]).gate == "passed"
    assert method_facts("swing", [{}]).gate_note == "follows the direction by +0.05 [+0.02, +0.20] on tiny"
    stated = {"gate": {"passed": False, "note": "elsewhere"}}
    assert (method_facts("swing", [stated]).gate, method_facts("swing", [stated]).gate_note) == (
        "unvalidated",
        "elsewhere",
    )
    assert method_facts("backbone", [{}]).gate is None
    assert method_facts("nobody_has_it", [{}]).gate is None
    far = method_facts("nobody_has_it", [{}], [{}, {"state": "unvalidated", "note": "fell short"}])
    assert (far.gate, far.gate_note) == ("unvalidated", "fell short")


def test_the_shipped_file_is_one_and_names_installed_methods_only() -> None:
    held = read_gate_file(ROOT / "methods/gate.json").methods
    assert set(held) <= set(registry.names("methods"))
    for name, verdict in held.items():
        assert verdict["passed"] == (verdict["n_failed"] == 0 and verdict["low"] > 0), name
        assert verdict["config_hash"] == resolve(RunPlan(name, split="mini")).config_hash, "of its present preset"
    assert len({verdict["tracker"] for verdict in held.values()}) == 1


def test_listing_methods_says_the_state_of_each_and_loads_no_torch() -> None:
    code = (
        "import sys; from motionbench import cli\n"
        "try: cli.app(['list', 'methods', '--json'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'numpy'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = {line["name"]: line for line in json.loads(done.stdout)}
    assert lines["copy"]["gate"] == {"state": "exempt", "note": ""}
    held = read_gate_file(ROOT / "methods/gate.json")
    for name, verdict in held.methods.items():
        judged = "passed" if verdict["passed"] else "unvalidated"
        assert lines[name]["gate"]["state"] == ("exempt" if name in held.exempt else judged), name
    assert all("unvalidated" not in line["summary"] for line in lines.values())
