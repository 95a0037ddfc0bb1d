"""The command line, assembled from the entry points `motionbench.commands`: a command is imported when it is called."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from motionbench import registry, terminal
from motionbench.errors import MotionBenchError
from motionbench.home import ensure_home
from motionbench.progress import LogLines
from motionbench.schema import FORMER_LICENSE

# The order of a day's work; commands of other packages come after these, by name.
ORDER = (
    "eval",
    "run",
    "plan",
    "score",
    "transfer",
    "compare",
    "leaderboard",
    "results",
    "gate",
    "metrics",
    "heads",
    "data",
    "list",
    "doctor",
)
# Former spellings, which are still understood and no longer listed.
FORMER = {"verify": "results verify", "validate": "metrics exam"}
FORMER_OPTIONS = {f"allow-{FORMER_LICENSE}": "allow-license", "offload": "gpu-memory"}  # former spelling: today's
EXIT_WRONG_USE = 2
EXAMPLE_COLUMNS = 72  # of 80, less the margins and ` \\`


class Commands(TyperGroup):
    """A group whose members come from entry points: listed by reading their source, imported on call."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the installed commands, ours first."""
        names = [name for name in registry.names("commands") if "." not in name and name not in FORMER]
        return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows its one-line help: enough for `--help`, at no import."""
        if cmd_name not in registry.names("commands"):
            return None
        line = registry.summary("commands", cmd_name)
        return TyperCommand(cmd_name, help=line, short_help=line, callback=lambda: None)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str, Any, list[str]]:
        """The real command, imported now. Raises UnknownNameError with suggestions."""
        name = args[0]
        if name.startswith("-"):
            return super().resolve_command(ctx, args)  # type: ignore[return-value]  # its usage error
        return name, load_command(name), args[1:]

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; an error that is ours becomes one line on stderr and exit code 2."""
        try:
            return super().invoke(ctx)
        except MotionBenchError as error:
            _complain(f"{type(error).__name__}: {error}")
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise  # `motionbench list | head`: the reader has gone, which is no fault
            _complain(f"{type(error).__name__}: {error}")
        raise typer.Exit(EXIT_WRONG_USE)


def load_command(name: str) -> Any:
    """A command ready to be called: the function or typer app behind an entry point, its `Example:` lines as epilog."""
    value = registry.load("commands", name)
    if not isinstance(value, typer.Typer):
        value = _single(name, value)
    command: Any = typer.main.get_command(value)
    command.name = name.rpartition(".")[2]
    # A group gathers its members from all packages: the entry point `results.verify` is member `verify` of `results`.
    for member in registry.names("commands"):
        if member.rpartition(".")[0] == name:
            command.add_command(load_command(member))
    _move_examples(command)
    return command


def _single(name: str, function: Callable[..., Any]) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=name)(function)
    return app


def _move_examples(command: Any) -> None:
    """What follows `Example:` in a docstring goes below the options, and keeps its line breaks.

    In the list of a group's members each has its whole first sentence, which click would cut at the line's end.
    """
    text, separator, example = (command.help or "").partition("Example:")
    if separator and not command.epilog:
        command.help = text.strip()
        lines = [part for line in example.strip().splitlines() for part in _continued(line.strip())]
        command.epilog = "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
    for member in getattr(command, "commands", {}).values():
        _move_examples(member)
        member.short_help = member.short_help or " ".join((member.help or "").partition("\n\n")[0].split())


def _continued(line: str) -> list[str]:
    """A command in lines that fit the help, to be pasted as they are: broken before an option, with `\\` at the end."""
    first, *rest = line.split(" --")
    lines = [first]
    for option in rest:
        if len(lines[-1]) + len(f" --{option}") <= EXAMPLE_COLUMNS:
            lines[-1] += f" --{option}"
        else:
            lines[-1] += " \\"
            lines.append(f"    --{option}")
    return lines


def _complain(text: str) -> None:
    typer.echo(text, err=True)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(version("motionbench-transfer"))
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    name="motionbench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Example: motionbench eval --method followyourmotion",
    context_settings={"token_normalize_func": lambda name: FORMER_OPTIONS.get(name, name)},  # its commands inherit it
)


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more on stderr.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Benchmark and evaluation suite for video motion transfer."""
    if not terminal.is_terminal(sys.stderr):
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of libraries, which do not look where they draw
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logger = logging.getLogger("motionbench")
    logger.handlers = [LogLines()]
    logger.setLevel(level)
    logger.propagate = False


def main() -> None:
    """The console script."""
    terminal.open_streams()
    ensure_home()
    app(prog_name="motionbench")


if __name__ == "__main__":
    main()
