"""What a page holds, as JSON: the boards with all their views, and the attempts, packed until they are asked for."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import motionbench
from motionbench.metric import MetricInfo, headline_of
from motionbench.summary import ALL

from .boards import Board
from .media import Media, generated_video, reference_video
from .merging import Entry
from .numbers import board_views
from .privacy import without_paths
from .reading import Run

PAGE_SCHEMA = 2
KINDS = ("text", "time", "appearance")  # besides motion, in the order in which a page shows them


def page_data(boards: Sequence[Board], runs: Sequence[Run], media: Media, title: str) -> dict[str, Any]:
    """All that the tables and figures need. The date is that of the newest record: equal results give an equal page."""
    newest = max((record.created for run in runs for record in run.records), default="")
    notes = [note for run in runs for note in run.notes] + [note for board in boards for note in board.notes]
    return {
        "schema": PAGE_SCHEMA,
        "title": title,
        "software": f"MotionBench {motionbench.__version__}",
        "newest": newest,
        "headline": next((name for board in boards if (name := headline_of(board.infos))), None),
        "leading": list(dict.fromkeys(name for board in boards for name in leading_metrics(board.infos))),
        "all": ALL,
        "notes": without_paths([*dict.fromkeys(notes), *media.notes]),
        "boards": [board_to_json(board) for board in boards],
    }


def leading_metrics(infos: Mapping[str, MetricInfo]) -> list[str]:
    """The metrics that a page shows before it is asked for more, in order: the headline, and one of each other kind.

    Of a kind, a difference to the reference (closest to zero is best) goes before a value by itself, then by name.
    """
    headline = headline_of(infos)
    leading = [] if headline is None else [headline]
    for kind in KINDS:
        of_kind = sorted((info.better != "zero", name) for name, info in infos.items() if info.measures == kind)
        leading += [name for _, name in of_kind[:1]]
    return leading


def board_to_json(board: Board) -> dict[str, Any]:
    """One table, with every view of it."""
    return {
        "id": board.id,
        "backbone": board.key.backbone,
        "weights": board.key.weights,
        "split": without_paths(board.key.split),
        "revision": board.key.revision,
        "version": board.key.version,
        "tracker": board.tracker,
        "categories": board.categories,
        "levels": board.levels,
        "references": len({r.case_id.rpartition("/")[0] for e in board.entries for r in e.records}),
        "cases": len({r.case_id for e in board.entries for r in e.records}),
        "licenses": sorted({case.license for case in board.cases.values()}),
        "metrics": {
            name: {
                **asdict(info),
                "title": info.heading,
                "models": sorted(board.bases[name].models),
            }
            for name, info in board.infos.items()
        },
        "entries": [entry_to_json(board, entry) for entry in board.entries],
        "views": board_views(board),
    }


def entry_to_json(board: Board, entry: Entry) -> dict[str, Any]:
    """One line of a table: everything about it that is not a number of a view."""
    facts = entry.facts
    gits = [git for run in entry.runs if (git := (run.manifest.get("environment") or {}).get("git"))]
    devices = {str((run.manifest.get("environment") or {}).get("device") or "") for run in entry.runs}
    return {
        "id": entry.id,
        "method": entry.method,
        "label": board.labels[entry.id],
        "role": role(board, entry),
        "summary": facts.summary,
        "contract": None if facts.contract is None else asdict(facts.contract),
        "license": facts.license,
        "gate": facts.gate,
        "gate_note": facts.gate_note,
        "commits": sorted({str(git.get("commit", ""))[:8] for git in gits}),
        "dirty": any(git.get("dirty") for git in gits),
        "devices": sorted(devices - {""}),
        "date": max((record.created for record in entry.records), default="")[:10],
        "configuration": without_paths(entry.configuration),
        "folders": [run.name for run in entry.runs],
        "reasons": dict(sorted(Counter(str(r.reason) for r in entry.records if r.status == "failed").items())),
    }


def role(board: Board, entry: Entry) -> str:
    """`method`, or for controls `ceiling`, `floor` or `control`, by the headline metric's own words."""
    if not entry.facts.is_control:
        return "method"
    info = board.infos.get(headline_of(board.infos) or "")
    if info is not None and entry.method == info.floor:
        return "floor"
    return "ceiling" if info is not None and entry.method in info.ceiling else "control"


def attempts_data(boards: Iterable[Board], media: Media, tracks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Records and scores line by line, the cases they answer, and which video shows what."""
    return {
        "boards": {board.id: _board_attempts(board, media) for board in boards},
        "linked": media.linked,
        "video_facts": media.facts,
        "tracks": tracks,
    }


def _board_attempts(board: Board, media: Media) -> dict[str, Any]:
    used = {record.case_id for entry in board.entries for record in entry.records}
    references, generated = {}, {}
    for entry in board.entries:
        for record in entry.records:
            reference = reference_video(entry, board.cases.get(record.case_id))
            video = generated_video(entry, record)
            if reference is not None and media.has(reference):
                references[record.case_id] = reference.id
            if video is not None and media.has(video):
                generated[record.key] = video.id
    return {
        "cases": {name: _case(board, name) for name in sorted(used & board.cases.keys())},
        "references": references,
        "generated": generated,
        "entries": {entry.id: _lines(board, entry) for entry in board.entries},
    }


def _case(board: Board, name: str) -> dict[str, Any]:
    value = asdict(board.cases[name])
    return {key: value[key] for key in ("category", "caption", "prompt", "level", "license", "source", "tags")}


def _lines(board: Board, entry: Entry) -> dict[str, Any]:
    """The lines as the files have them but for paths of the machine, so that the suite can read what is downloaded."""
    shown = {(name, info.version) for name, info in board.infos.items()}
    return {
        "records": [{**asdict(r), "error": without_paths(r.error)} for r in entry.records],
        "scores": [
            {**asdict(score), "note": without_paths(score.note)}
            for score in entry.scores
            if (score.metric, score.metric_version) in shown
        ],
    }


def json_in_script(value: Any) -> str:
    """JSON that may stand inside a <script> element: no character in it can end the element or a line of script."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def packed_json(value: Any) -> str:
    """JSON, gzipped, in base64: a tenth of the size, unpacked by the browser when first needed; no date in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()
