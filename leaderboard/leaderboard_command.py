"""`motionbench leaderboard`: the page, and the packing of results for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.files import write_atomically

DEFAULT = "page"


class PageByDefault(TyperGroup):
    """A group in which words that name no sub-command go to `page`: `leaderboard RESULTS --out page.html`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `page` before the words, unless they begin with a sub-command or ask for help."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Make the leaderboard page of results folders.",
    cls=PageByDefault,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="\b\nExample:\n  motionbench leaderboard results/a results/b --out leaderboard.html\n"
    "  motionbench leaderboard page --help   (all options of the page)",
)

Results = Annotated[list[Path], typer.Argument(help="Results folders, archives of them, or folders of both.")]
Page = Annotated[Path, typer.Option("--out", help="The page to write.")]
Manifests = Annotated[
    list[Path] | None, typer.Option("--split", help="Manifest of a split that is not installed here; repeatable.")
]


@app.command()
def page(
    results: Results,
    out: Page = Path("leaderboard.html"),
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "MotionBench leaderboard",
    media: Annotated[
        str, typer.Option("--media", metavar="embed|link|none", help="Videos in the page, beside it, or left out.")
    ] = "embed",
    media_limit: Annotated[
        float | None,
        typer.Option(
            "--media-limit",
            min=0,
            metavar="MB",
            help="embed: the rest is linked (default 32); link: the rest is left out (default: no limit).",
        ),
    ] = None,
    tracks: Annotated[
        str,
        typer.Option(
            "--tracks", metavar="all|cached|none", help="Tracks over the clips: all, those scoring left here, none."
        ),
    ] = "cached",
    split: Manifests = None,
    device: options.Device = "cpu",
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write the numbers of all tables as a CSV file, too.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make one self-contained page of any number of results folders (the default).

    Backbones, splits, benchmark versions and trackers are never ranked together: each has a table of its own. Runs of
    one configuration (shards, seeds) are merged. The page needs no server and no network.

    Example:
    motionbench leaderboard results/a results/b --out leaderboard.html
    motionbench leaderboard results --media link --media-limit 8 --tracks all --out docs/results/leaderboard.html
    """
    from motionbench.progress import Bars

    from . import media as videos
    from . import overlay
    from .page import PagePlan, make_page

    media_mode = options.to_choice("--media", media, videos.MODES)
    track_mode: overlay.Mode = options.to_choice("--tracks", tracks, overlay.MODES)
    plan = PagePlan(out, title, media_mode, media_limit, track_mode, _device(device))
    with Bars("tracks") as bars:
        result = make_page(results, plan, splits=split or (), report=bars.counted)
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    if table is not None:
        from .frame import boards_to_frame

        write_atomically(table, boards_to_frame(result.boards).to_csv(index=False).encode())
    if as_json:
        entries = sum(len(board.entries) for board in result.boards)
        counts = {"boards": len(result.boards), "entries": entries, "notes": list(result.notes)}
        print_json(
            {"page": str(out), "bytes": result.size, **counts, "embedded": result.embedded, "linked": result.linked}
        )
    else:
        typer.echo(f"{out}: {result.size / 1e6:.1f} MB, {result.embedded} videos inside and {result.linked} beside it")


def _device(name: str) -> str:
    if name == "cpu":
        return name  # resolving imports torch
    from motionbench.device import resolve_device

    return resolve_device(name)


@app.command(hidden=True)  # its name today: `motionbench results pack`
def submit(
    results: Annotated[Path, typer.Argument(help="The results folder to pack.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder, .tar.gz or .tar.xz to make; default submissions/NAME.")
    ] = None,
    target: Annotated[
        str,
        typer.Option("--for", metavar="pr|hub", help="pr: text files only; hub: a dataset with videos and a card."),
    ] = "pr",
    contact: Annotated[str, typer.Option("--contact", help="Who answers questions on these results.")] = "",
    videos_url: Annotated[str, typer.Option("--videos-url", help="Where the videos are, for a pull request.")] = "",
    as_json: options.Json = False,
) -> None:
    """Check a results folder and pack it for a pull request or a Hub dataset.

    Everything is checked first: schema, contradictions, checksums of all videos, scores for every video, and that the
    summary follows from the scores. The pack holds a list of its files with their checksums.

    Example:
    motionbench results pack results/a --contact you@example.org --videos-url https://example.org/a
    motionbench results pack results/a --for hub --out a-submission
    """
    from .submission import Submission, pack

    chosen = options.to_choice("--for", target, ("pr", "hub"))
    made = pack(Submission(results, out or Path("submissions") / results.resolve().name, chosen, contact, videos_url))
    if as_json:
        print_json({"submission": str(made.out), "files": made.files, "bytes": made.size, "next": made.advice})
    else:
        typer.echo(f"{made.out}: {made.files} files, {made.size / 1e6:.1f} MB\n{made.advice}")
