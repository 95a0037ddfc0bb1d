"""Files of schema 1, written before keys were spelled as Americans do, are read as if they had been written today."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from motionbench.data_cards.hub.catalog import bytes_to_catalog
from motionbench.data_cards.hub.errors import HubError
from motionbench.leaderboard.archives import unpacked

from motionbench.errors import ManifestError, StoreError
from motionbench.gate import read_gate_file
from motionbench.manifest import write_manifest
from motionbench.metric import headline_of
from motionbench.schema import SCHEMA, to_current
from motionbench.split import read_split
from motionbench.store import ResultStore

SCHEMA_1 = Path(__file__).parent / "schema_1"  # of a run of 26 November, and the manifest of `mini` as it was then
REVISIONS = {"mini": "cff8ee796c725ded", "lite": "56af7c06f4271762"}  # as records of schema 1 name them
PUBLISHED = sorted((Path(__file__).parents[2] / "docs/results/records").glob("*/*.tar.xz"))


@pytest.fixture
def older(tmp_path: Path) -> ResultStore:
    """A results folder of schema 1."""
    return ResultStore(shutil.copytree(SCHEMA_1, tmp_path / "older"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_sample_is_of_schema_1() -> None:
    assert all(line["schema"] == 1 for name in ("records", "scores") for line in lines(SCHEMA_1 / f"{name}.jsonl"))
    assert all(json.loads((SCHEMA_1 / f"{name}.json").read_text())["schema"] == 1 for name in ("run", "summary"))
    assert '"normalised"' in (SCHEMA_1 / "summary.json").read_text()


@pytest.mark.parametrize("place", [SCHEMA_1, *PUBLISHED], ids=lambda path: path.name)
def test_records_scores_and_rows_of_older_folders_are_read(place: Path) -> None:
    with unpacked([place]) as (folder,):
        for inner in (folder, *folder.glob("controls/*")):
            check_that_it_is_read(inner)


def check_that_it_is_read(folder: Path) -> None:
    store = ResultStore(folder)
    records, scores, summary = store.records(), store.scores(), store.read_summary()
    assert records
    assert len(records) == len(lines(folder / "records.jsonl"))
    assert {score.record_key for score in scores} <= {record.key for record in records}
    assert store.read_run()["schema"] == SCHEMA
    if summary is None:  # a control's folder has none: its rows stand in the summary of the method beside it
        return
    written = json.loads((folder / "summary.json").read_text())
    for table in ("rows", "control_rows"):
        rows = getattr(summary, table)
        stated = [row.get("normalized", row.get("normalised")) for row in written[table]]
        assert [row.normalized for row in rows] == stated
    assert headline_of(summary.metrics) == "motion_fidelity"
    assert any(row.normalized is not None for row in summary.rows)


def test_a_folder_of_schema_1_goes_on_in_schema_2(older: ResultStore) -> None:
    first, second = older.records()
    older.append_record(replace(first, created="2026-11-29T00:00:00+00:00"))
    assert [line["schema"] for line in lines(older.folder / "records.jsonl")] == [1, 1, 2]
    assert [record.key for record in older.records()] == [first.key, second.key]
    run = older.read_run()
    assert older.begin(run["configuration"], {"limit": 1}, run["environment"]) == run["run_id"]
    assert json.loads((older.folder / "run.json").read_text())["schema"] == SCHEMA


def test_a_manifest_of_schema_1_has_the_cases_and_the_revision_of_today(tmp_path: Path) -> None:
    older = read_split(SCHEMA_1 / "manifest.jsonl")
    assert '"licence"' in (SCHEMA_1 / "manifest.jsonl").read_text()
    assert older.cases == read_split("mini").cases
    write_manifest(tmp_path / "manifest.jsonl", older.cases)
    assert '"licence"' not in (tmp_path / "manifest.jsonl").read_text()
    assert read_split(tmp_path).revision == older.revision == REVISIONS["mini"]


@pytest.mark.parametrize("name", REVISIONS)
def test_the_spelling_changed_no_revision(name: str) -> None:
    assert read_split(name).revision == REVISIONS[name]


def test_a_line_with_both_spellings_is_refused(tmp_path: Path) -> None:
    case = asdict(read_split("mini").cases[0])
    (tmp_path / "manifest.jsonl").write_text(json.dumps({**case, "licence": case["license"]}) + "\n")
    with pytest.raises(ManifestError, match=r"manifest.jsonl:1: unknown key 'licence'"):
        read_split(tmp_path)


def test_gates_and_catalogs_of_schema_1_are_read(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(json.dumps({"schema": 1, "methods": {"swing": {"passed": True}}}))
    assert read_gate_file(tmp_path / "gate.json").methods == {"swing": {"passed": True}}
    entry = {"revision": "r", "categories": {}, "files": [], "licences": {"CC0-1.0": 3}}
    catalog = {"schema": 1, "splits": {"mini": entry}}
    assert bytes_to_catalog(json.dumps(catalog).encode(), "owner/name")["mini"].licenses == {"CC0-1.0": 3}
    with pytest.raises(HubError, match=r"schema 2 or older, got 3; .*update motionbench"):
        bytes_to_catalog(json.dumps({**catalog, "schema": 3}).encode(), "owner/name")


@pytest.mark.parametrize("value", [None, [], {}, {"schema": "1"}, {"schema": True}, {"schema": 0}, {"schema": 3}])
def test_another_schema_is_refused(value: Any) -> None:
    with pytest.raises(StoreError, match="here: expected schema 2 or older, got"):
        to_current("record", value, "here")
