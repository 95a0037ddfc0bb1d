"""`motionbench prefetch`: get weights that are not shipped, once, so that later runs need no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Protocol, runtime_checkable

import typer

from motionbench import registry
from motionbench.backbone import BackboneEntry
from motionbench.commands import options
from motionbench.commands.output import print_json, print_pairs
from motionbench.errors import MotionBenchError, UnknownNameError
from motionbench.progress import Bars

GROUPS: tuple[registry.Group, ...] = ("trackers", "metrics", "backbones")
UNASKED: tuple[registry.Group, ...] = ("trackers", "metrics")  # a backbone's gigabytes are fetched by name only

Fetch = Callable[[], str]


@runtime_checkable
class Fetched(Protocol):
    """A tracker or metric whose weights are not shipped: it says how they are fetched, once, and where they lie."""

    @staticmethod
    def prefetch() -> str: ...


def prefetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Trackers, metrics or backbones.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Fetch the weights that trackers, metrics and backbones need but do not ship; what is here is not fetched again.

    Without names: those of every tracker and metric. Each line tells where they lie and under which license. Exit
    code 1 if something could not be fetched. `motionbench doctor` tells what is missing.

    Example:
    motionbench prefetch tapir text_alignment_b32
    """
    wanted = dict(_by_name(name) for name in names) if names else dict(_all())
    places, faults = {}, {}
    with Bars("fetching") as bars:
        for done, (name, fetch) in enumerate(wanted.items()):
            bars.counted(done, len(wanted))
            try:
                places[name] = fetch()
            except MotionBenchError as error:
                faults[name] = str(error)
    if as_json:
        print_json({"fetched": places, "failed": faults})
    else:
        print_pairs(places)
    for name, fault in faults.items():
        typer.echo(f"not fetched: {name}: {fault}", err=True)
    raise typer.Exit(1 if faults else 0)


def _by_name(name: str) -> tuple[str, Fetch]:
    """A plugin that has something to fetch, or one whose weights are shipped. Raises UnknownNameError."""
    for group in GROUPS:
        try:
            resolved = registry.resolve(group, name)
        except UnknownNameError:
            continue
        return resolved, fetcher(group, resolved) or _looker(group, resolved)
    known = ", ".join(n for group in GROUPS for n in registry.names(group))
    raise UnknownNameError(f"nothing is called {name!r}; weights can be fetched for: {known}")


def _all() -> Iterator[tuple[str, Fetch]]:
    for group in UNASKED:
        for name in registry.names(group):
            fetch = fetcher(group, name)
            if fetch is not None:
                yield name, fetch


def fetcher(group: registry.Group, name: str) -> Fetch | None:
    """A plugin's own `prefetch`, which fetches its weights once and says where they lie; None if it has none."""
    plugin = registry.load(group, name)
    if isinstance(plugin, BackboneEntry):
        return plugin.prefetch
    return plugin.prefetch if isinstance(plugin, Fetched) else None


def _looker(group: registry.Group, name: str) -> Fetch:
    """For what has no fetcher: whether its weights are here. Its own error names another way to get them."""
    plugin = registry.load(group, name)
    check = plugin.check if isinstance(plugin, BackboneEntry) else None
    if check is None:
        return lambda: "nothing to fetch: it comes with the package"

    def look() -> str:
        check()
        return "here already"

    return look
