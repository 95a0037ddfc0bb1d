"""`motionbench list`: what is installed, one line each, without importing any of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from motionbench import registry, terminal
from motionbench.commands.output import print_json, print_pairs
from motionbench.gate import gate_of

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    help="List what is installed: methods, metrics, backbones, trackers, splits.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="Example: motionbench list methods",
)


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods and controls, and whether each passed the reversed-reference gate.

    Example:
    motionbench list methods --json
    """
    lines = {name: registry.summary("methods", name) for name in registry.names("methods")}
    gates = {name: gate_of(name) for name in lines}
    if as_json:
        print_json([{"name": n, "summary": line, "gate": gates[n].to_json()} for n, line in lines.items()])
    else:
        print_pairs({n: f"{line} ({gates[n].mark})" if gates[n].mark else line for n, line in lines.items()})


@app.command()
def settings(method: Annotated[str, typer.Argument(metavar="METHOD")], as_json: Json = False) -> None:
    """List what `--set` takes for a method, with type, default and meaning, and its presets.

    Example:
    motionbench list settings followyourmotion
    """
    from motionbench.config import BARE, describe

    plugin = registry.load("methods", method)
    rows = describe(plugin.Config)
    if as_json:
        print_json({"presets": plugin.presets, "settings": [asdict(row) for row in rows]})
        return
    print_pairs({row.key: f"{row.help} [{row.type}, default {row.default}]".strip() for row in rows})
    typer.echo(terminal.fill(f"Presets: {', '.join([*sorted(plugin.presets), BARE])}."))


@app.command()
def metrics(as_json: Json = False) -> None:
    """List the metrics.

    Example:
    motionbench list metrics
    """
    _print_plugins("metrics", as_json)


@app.command()
def backbones(as_json: Json = False) -> None:
    """List the text-to-video models that methods build on.

    Example:
    motionbench list backbones
    """
    _print_plugins("backbones", as_json)


@app.command()
def trackers(as_json: Json = False) -> None:
    """List the point trackers that metrics can use.

    Example:
    motionbench list trackers
    """
    _print_plugins("trackers", as_json)


@app.command()
def splits(as_json: Json = False) -> None:
    """List the splits that come with the package; `--split` also takes a manifest's path.

    Example:
    motionbench list splits
    """
    from motionbench.split import split_names  # needs numpy, which the other lists can do without

    lines = {name: _describe_split(name) for name in split_names()}
    _print(lines, as_json)


def _describe_split(name: str) -> str:
    from motionbench.split import read_split

    split = read_split(name)
    references = len({case.reference_id for case in split.cases})
    categories = ", ".join(sorted({case.category.value for case in split.cases}))
    return f"{len(split.cases)} cases of {references} references ({categories}), revision {split.revision}"


def _print_plugins(group: registry.Group, as_json: bool) -> None:
    _print({name: registry.summary(group, name) for name in registry.names(group)}, as_json)


def _print(lines: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json([{"name": name, "summary": line} for name, line in lines.items()])
    else:
        print_pairs(lines)
