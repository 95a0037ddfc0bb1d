"""`motionbench raters`: ask people whose motion is closer, and hold the metrics against what they said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.errors import ConfigError

app = typer.Typer(
    help="Ask people whose motion is closer to the reference, and compare the metrics with them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="\b\nExample:\n  motionbench raters make results/a results/b --out raters\n"
    "  motionbench raters collect answers-*.json --key raters/key.json\n"
    "  motionbench raters agree raters/votes.json results/a results/b",
)

Results = Annotated[list[Path], typer.Argument(help="Results folders, or folders of results folders.")]


@app.command()
def make(
    results: Results,
    out: Annotated[Path, typer.Option("--out", help="Folder to make: page/ to hand out, key.json to keep.")] = Path(
        "raters"
    ),
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Whose motion is closer?",
    questions: Annotated[int, typer.Option("--questions", min=1, help="Questions in the kit.")] = 120,
    per_rater: Annotated[int, typer.Option("--per-rater", min=1, help="Of these, asked of one rater.")] = 40,
    catches: Annotated[int, typer.Option("--catches", min=0, help="Catch trials, asked of every rater.")] = 6,
    pass_share: Annotated[
        float, typer.Option("--pass", min=0, max=1, help="Share of them that a rater must get right to count.")
    ] = 0.8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which questions are drawn.")] = 0,
    system: Annotated[
        list[str] | None, typer.Option("--system", help="Only this method or label; repeatable; default: no controls.")
    ] = None,
    embed: Annotated[
        float, typer.Option("--embed", min=0, metavar="MB", help="Video inside the page; the rest lies beside it.")
    ] = 32.0,
    as_json: options.Json = False,
) -> None:
    """Make the page that raters open, and the key to its answers.

    Hand out the folder page/, or its index.html alone if no media/ lies beside it. Nothing in it tells which clip is
    whose. Keep key.json: without it the answers say nothing. Raters send back the file that the page downloads.

    Example:
    motionbench raters make results/a results/b --out raters
    motionbench raters make results --system vmc --system smm --questions 200
    """
    from .kit import KEY, PAGE, KitPlan, make_kit

    plan = KitPlan(out, title, questions, per_rater, catches, pass_share, seed, embed, tuple(system or ()))
    kit = make_kit(results, plan)
    if as_json:
        counts = {"questions": kit.questions, "catches": kit.catches, "systems": list(kit.systems)}
        print_json({"page": str(out / PAGE), "key": str(out / KEY), **counts, "linked": kit.linked})
        return
    typer.echo(f"{kit.questions} questions and {kit.catches} catch trials on {', '.join(kit.systems)}")
    whole = "the folder" if kit.linked else "the file"
    typer.echo(f"hand out {whole} {out / PAGE if kit.linked else out / PAGE / 'index.html'}")
    typer.echo(f"keep {out / KEY}: it says which clip is whose")


@app.command()
def collect(
    files: Annotated[list[Path], typer.Argument(help="Answer files that raters sent.")],
    key: Annotated[Path, typer.Option("--key", help="The kit's key.")] = Path("raters/key.json"),
    out: Annotated[Path | None, typer.Option("--out", help="Votes to write; default: votes.json beside the key.")] = (
        None
    ),
    as_json: options.Json = False,
) -> None:
    """Check the answers, drop raters who fail the catch trials, and print Bradley-Terry scores with intervals.

    A file that cannot be read is named and the others are counted; the exit code is then 1.

    Example:
    motionbench raters collect answers-*.json --key raters/key.json
    """
    from dataclasses import asdict

    from motionbench.files import write_json

    from . import tables
    from .agreement import consistency
    from .answers import collect as collect_answers
    from .answers import read_key
    from .strengths import bradley_terry

    kit = read_key(key)
    collection = collect_answers(files, kit)
    target = out or key.with_name("votes.json")
    write_json(target, collection.to_json(kit))
    strengths, agreement = bradley_terry(collection.votes), consistency(collection.votes)
    for file, why in collection.faults.items():
        typer.echo(f"not counted: {file}: {why}", err=True)
    for line in collection.repeated:
        typer.echo(f"note: {line}", err=True)
    for rater, (right, asked) in collection.dropped.items():
        typer.echo(f"dropped: rater {rater}: {right} of {asked} catch trials right", err=True)
    if as_json:
        print_json(
            {
                "votes": str(target), "raters": len(collection.raters), "dropped": len(collection.dropped),
                "faults": collection.faults, "strengths": [asdict(one) for one in strengths],
                "consistency": asdict(agreement),
            }
        )  # fmt: skip
    else:
        typer.echo(
            f"{len(collection.votes)} votes of {len(collection.raters)} raters, "
            f"{len(collection.dropped)} raters dropped"
        )
        for line in [*tables.strength_lines(strengths), *tables.consistency_lines(agreement)]:
            typer.echo(line)
        typer.echo(f"votes: {target}", err=True)
    raise typer.Exit(1 if collection.faults else 0)


@app.command()
def agree(
    votes: Annotated[Path, typer.Argument(help="votes.json of `raters collect`.")] = Path("raters/votes.json"),
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders with scores; default: those the kit was made of.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print how often each metric decides as most raters did, with intervals over references.

    Beside them stands how often one rater decides as most of the others did: about the most that can be reached.

    Example:
    motionbench raters agree raters/votes.json results/a results/b
    """
    from ..boards import make_boards
    from ..merging import merge
    from ..reading import read_runs
    from . import tables
    from .agreement import decided_to_json, metric_agreement, raters_agreement
    from .answers import read_votes

    facts, cast = read_votes(votes)
    folders = results or [Path(name) for name in facts["results"]]
    if not folders:
        raise ConfigError("expected results folders: motionbench raters agree VOTES RESULTS...")
    board = tables.board_of(make_boards(merge(read_runs(folders))), facts["records"])
    decided, notes = metric_agreement(cast, facts["records"], board)
    decided = [*raters_agreement(cast), *decided]
    for note in (*board.notes, *notes):
        typer.echo(f"note: {note}", err=True)
    if as_json:
        print_json(decided_to_json(decided))
        return
    for line in tables.decided_lines(decided):
        typer.echo(line)
