"""What commands write on stdout: JSON for machines, aligned lines for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer


def print_json(value: Any) -> None:
    """One JSON document; a number that is not finite is a bug and raises ValueError."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_pairs(lines: Mapping[str, str]) -> None:
    """One line a pair, the second column aligned; `nothing` on an empty mapping, so that silence is no answer."""
    width = max((len(name) for name in lines), default=0)
    for name, line in lines.items():
        typer.echo(f"{name.ljust(width)}  {line}".rstrip())
    if not lines:
        typer.echo("nothing installed", err=True)
