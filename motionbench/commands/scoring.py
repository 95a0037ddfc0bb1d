"""What `eval`, `score` and `run` print of results: the summary on stdout, and on stderr what is missing from it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from motionbench.commands.output import print_json
from motionbench.commands.repeating import retry_command
from motionbench.record import Record
from motionbench.results import Results
from motionbench.store import ResultStore
from motionbench.table import print_summary


def publish(results: Results, *, as_json: bool) -> int:
    """Prints the summary, lists what failed on stderr, and returns the exit code."""
    summary, failed, scoring = results.summary, results.failures, results.scoring
    if as_json:
        print_json({"results": str(results.folder), **summary.to_json()})
    else:
        print_summary(summary, results.asked)
    list_failures(results.store, failed, "eval")
    errors, unavailable = ([], {}) if scoring is None else (scoring.errors, scoring.unavailable)
    for case, metric, note in errors:
        typer.echo(f"not scored: {case} {metric}: {note}", err=True)
    for metric, why in unavailable.items():
        typer.echo(f"not available: {metric}: {why}", err=True)
    return 1 if failed or errors or unavailable else 0


def list_failures(store: ResultStore, failed: Sequence[Record], verb: str) -> None:
    """One line on stderr for each failed attempt, and the command that tries them again."""
    for record in failed:
        typer.echo(f"failed: {record.case_id} seed {record.seed}: {record.reason}: {record.error}", err=True)
    if failed:
        typer.echo(f"try them again: {retry_command(store, verb)}", err=True)
