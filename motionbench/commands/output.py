"""What commands write on stdout: JSON for machines, aligned lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer

from motionbench import terminal


def print_json(value: Any) -> None:
    """One JSON document; a number that is not finite is a bug and raises ValueError."""
    escape = not terminal.writes_unicode(
        sys.stdout
    )  # \\u escapes are JSON, what a stream puts for a sign it lacks is not
    typer.echo(json.dumps(value, indent=2, ensure_ascii=escape, allow_nan=False))


def print_pairs(lines: Mapping[str, str]) -> None:
    """One line a pair, the second column aligned; `nothing` on an empty mapping, so that silence is no answer."""
    width = max((len(name) for name in lines), default=0)
    for name, line in lines.items():
        typer.echo(terminal.fill_record(f"{name.ljust(width)}  {line}".rstrip(), indent=width + 2))
    if not lines:
        typer.echo("nothing installed", err=True)


def say(line: str) -> None:
    """One line on stderr, for people."""
    typer.echo(line, err=True)
