"""`motionbench data push`, `data pull`, `results push`: splits and runs to and from the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motionbench.commands.output import print_json
from motionbench.errors import ConfigError

if TYPE_CHECKING:
    from .address import Address
    from .publishing import Pushed

EXIT_INTERRUPTED = 130  # what a shell reports for Ctrl-C

Repo = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Dataset repository on the Hub.")]
Private = Annotated[bool, typer.Option("--private", help="Make a new repository private.")]
Revision = Annotated[str, typer.Option("--revision", help="Branch to write; made if absent.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

results = typer.Typer(
    help="Check results, pack them for a pull request, publish them on the Hub.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="Example: motionbench results push results/a owner/name",
)


@results.callback()
def results_group() -> None:
    """Check results, pack them for a pull request, publish them on the Hub."""


def push(
    repo: Repo,
    split: Annotated[list[str] | None, typer.Option("--split", help="Split or manifest; repeatable.")] = None,
    private: Private = False,
    revision: Revision = "main",
    dry_run: DryRun = False,
    allow_license: Annotated[
        list[str] | None,
        typer.Option("--allow-license", help="A license that you hold the right to pass on; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish splits on the Hugging Face Hub: videos, prompts, ground truth and card, in one commit.

    Default: the split `lite`. The same content makes no commit; interrupted, the same command goes on. The token is
    that of `hf auth login` or HF_TOKEN.

    Example:
    motionbench data push owner/motionbench --split mini --split lite --dry-run
    """
    from motionbench.split import read_split

    from .publishing import push_splits

    address = to_address(repo, revision)
    splits = [read_split(name) for name in split or ["lite"]]
    if len({one.name for one in splits}) < len(splits):
        raise ConfigError("--split names two splits of one name; push them from folders of different names")
    with interruptible("what arrived is kept there, and nothing was committed"):
        pushed = push_splits(splits, address, private=private, dry_run=dry_run, allow=allow_license or ())
    tell_pushed(pushed, dry_run, as_json)


def pull(
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME@REVISION", help="Repository and branch, tag or commit.")],
    split: Annotated[list[str] | None, typer.Option("--split", help="Only this split; repeatable.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the splits' folders to.")] = Path("splits"),
    as_json: Json = False,
) -> None:
    """Fetch splits from the Hugging Face Hub, pinned to one commit that origin.json names.

    Example:
    motionbench data pull owner/motionbench@main --split lite
    motionbench eval --split splits/lite
    """
    from .address import parse_address
    from .pulling import pull_splits

    with interruptible("what arrived is kept in the cache"):
        pulled = pull_splits(parse_address(repo), split or [], out)
    if as_json:
        return print_json([vars(one) | {"folder": str(one.folder)} for one in pulled])
    for one in pulled:
        state = "was there already" if one.was_there else f"from commit {one.commit[:12]}"
        typer.echo(f"{one.folder}  revision {one.revision}, {state}")
    return None


@results.command("push")
def push_run(
    folder: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results folder of a run.")],
    repo: Repo,
    adapters: Annotated[bool, typer.Option("--adapters/--no-adapters", help="Send the fitted adapters too.")] = True,
    private: Private = False,
    revision: Revision = "main",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Publish a run on the Hugging Face Hub: configuration, records, scores, videos and adapters.

    Example:
    motionbench results push results/a owner/motionbench-results --no-adapters
    """
    from .results import push_results

    address = to_address(repo, revision)
    with interruptible("what arrived is kept there, and nothing was committed"):
        pushed = push_results(folder, address, adapters=adapters, private=private, dry_run=dry_run)
    tell_pushed(pushed, dry_run, as_json)


def to_address(repo: str, revision: str) -> Address:
    """The address in a repository and a branch given apart. Raises ConfigError."""
    from .address import parse_address

    if "@" in repo:
        raise ConfigError(f"expected owner/name, got {repo!r}; name the branch with --revision")
    return parse_address(f"{repo}@{revision}")


@contextmanager
def interruptible(state: str) -> Iterator[None]:
    """Turns Ctrl-C into one line that says what stands and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {state}; repeat the command to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def tell_pushed(pushed: Pushed, dry_run: bool, as_json: bool) -> None:
    """Prints what a push did or would do."""
    if as_json:
        value: dict[str, Any] = vars(pushed) | {"dry_run": dry_run}
        return print_json(value)
    for path, size in pushed.sent.items():
        typer.echo(f"{'would send' if dry_run else 'sent'}  {path}  {size} bytes")
    for path in pushed.deleted:
        typer.echo(f"{'would delete' if dry_run else 'deleted'}  {path}")
    total = sum(pushed.sent.values()) / 1e6
    if dry_run:
        typer.echo(f"{pushed.repo}: {len(pushed.sent)} files, {total:.1f} MB; nothing was sent (dry run)")
    elif pushed.changed:
        typer.echo(f"{pushed.repo}@{pushed.commit}: {len(pushed.sent)} files, {total:.1f} MB")
    else:
        typer.echo(f"{pushed.repo}@{pushed.commit}: has all of it already; no commit was made")
    return None
