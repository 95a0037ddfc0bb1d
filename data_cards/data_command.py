"""`motionbench data`: list, build, check, push and pull splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from motionbench.case import Case
from motionbench.commands.output import print_json
from motionbench.terminal import fill_record

from .hub.commands import pull, push

EXIT_FINDINGS = 1

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

app = typer.Typer(
    help="List, build, check and share the splits of the benchmark.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="Example: motionbench data check lite",
)
app.command("push")(push)
app.command("pull")(pull)


@app.command("list")
def list_splits(as_json: Json = False) -> None:
    """List the embedded splits with their revision and size.

    Example:
    motionbench data list --json
    """
    from motionbench.split import read_split, split_names

    rows: list[dict[str, Any]] = []
    for split in map(read_split, split_names()):
        references = {case.reference_id: case.category.value for case in split.cases}
        counts = {name: list(references.values()).count(name) for name in sorted(set(references.values()))}
        rows.append({
            "name": split.name, "revision": split.revision, "cases": len(split.cases), "references": counts,
            "folder": str(split.root),
        })  # fmt: skip
    if as_json:
        return print_json(rows)
    for row in rows:
        counted = ", ".join(f"{n} {name}" for name, n in row["references"].items())
        typer.echo(f"{row['name']}  revision {row['revision']}  {row['cases']} cases  references: {counted}")
    return None


@app.command()
def build(
    split: Annotated[
        str, typer.Argument(metavar="SPLIT", help="mini, lite, tuning, crowd, motionbench, motionbench3d.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; default: the embedded split's.")] = None,
    sources: Annotated[Path | None, typer.Option("--sources", help="motionbench: folder of your downloads.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="motionbench: leave out what has no sources.")] = False,
    lock: Annotated[Path | None, typer.Option("--lock", help="motionbench: lock.json whose sources to meet.")] = None,
    as_json: Json = False,
) -> None:
    """Build a split: render it again (mini, lite, tuning, crowd), or cut it from your own downloads (motionbench).

    Of a rendered split the manifest, the tracks and the decoded frames are the same on every machine. The split
    motionbench is the reconstruction from public sets; nothing is written unless its sources are whole. motionbench3d
    renders camera paths and captured human motion at 480 x 832 and needs pybullet.

    Example:
    motionbench data build lite --out /tmp/lite
    motionbench data build motionbench --sources ~/downloads --out splits/motionbench
    """
    from motionbench.errors import ConfigError
    from motionbench.progress import Bars
    from motionbench.split import splits_folder

    from .reconstruction.recipe import NAME, NAME_3D

    if split == NAME:
        return tell_built(split, *build_from_sources(sources, out, partial, lock), as_json)
    if split == NAME_3D:
        return tell_built(split, *build_in_3d(out), as_json)
    if sources or partial or lock:
        raise ConfigError(f"--sources, --partial and --lock are for `data build {NAME}`; split {split!r} is rendered")
    from .building import build_split, recipe_of  # not before: it loads torch

    if recipe_of(split).purpose != "benchmark" and out is None:
        raise ConfigError(f"split `{split}` is not shipped; say where it should go, e.g. --out /tmp/{split}")
    folder = out or splits_folder() / split
    with Bars(f"build {split}") as bars:
        cases = build_split(split, folder, bars.counted)
    return tell_built(split, folder, cases, as_json)


def build_from_sources(
    sources: Path | None, out: Path | None, partial: bool, lock: Path | None
) -> tuple[Path, tuple[Case, ...]]:
    """Where the reconstruction was written, and its cases. Raises ConfigError, ManifestError."""
    from motionbench.errors import ConfigError
    from motionbench.progress import Bars

    from .reconstruction.building import build_reconstruction
    from .reconstruction.recipe import NAME, SETS

    if sources is None:
        wanted = "; ".join(f"{source.title} from {source.url} as {source.layout}" for source in SETS.values())
        raise ConfigError(f"split {NAME!r} is cut from your own downloads: give --sources DIR with {wanted}")
    folder = out or Path("splits") / NAME
    with Bars(f"build {NAME}") as bars:
        return folder, build_reconstruction(sources, folder, partial=partial, lock=lock, report=bars.counted)


def build_in_3d(out: Path | None) -> tuple[Path, tuple[Case, ...]]:
    """Where the split rendered in 3D was written, and its cases. Raises MissingExtra."""
    from motionbench.progress import Bars

    from .reconstruction.building3d import build_rendered
    from .reconstruction.recipe import NAME_3D

    folder = out or Path("splits") / NAME_3D
    with Bars(f"build {NAME_3D}") as bars:
        return folder, build_rendered(folder, report=bars.counted)


def tell_built(split: str, folder: Path, cases: tuple[Case, ...], as_json: bool) -> None:
    """Prints what was built."""
    from motionbench.split import cases_to_revision

    made = {"split": split, "folder": str(folder), "cases": len(cases), "revision": cases_to_revision(cases)}
    if as_json:
        return print_json(made)
    typer.echo(f"{folder}  {len(cases)} cases  revision {made['revision']}")
    return None


@app.command()
def check(
    split: Annotated[str, typer.Argument(metavar="SPLIT", help="Name of a split, or the path of a manifest.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Render it again and compare (mini, lite).")] = False,
    as_json: Json = False,
) -> None:
    """Check a split's files, hashes, words, duplicates, motion and ground truth.

    Errors make a split unfit, exit 1; warnings are for you to judge, notes good to know. Of many findings of a kind
    a few are shown.
    --json also tells what moves in each reference: camera, moving area, speed.

    Example:
    motionbench data check lite --rebuild
    """
    from motionbench.progress import Bars

    from .checks import Finding, Severity, group_findings, inspect_split
    from .checks.check import find_manifest

    with Bars(f"check {split}") as bars:
        seen = inspect_split(split, bars.counted)
    if rebuild:
        from .building import rebuild_differences

        root = find_manifest(split).parent
        seen.findings.extend(Finding("rebuild", seen.name, text) for text in rebuild_differences(seen.name, root))
    if as_json:
        print_json(seen.to_json())
    else:
        for line in group_findings(seen.findings):
            typer.echo(fill_record(line, indent=4))
        counts = Counter(one.severity for one in seen.findings)
        counted = ", ".join(f"{counts[one]} {one}{'s' * (counts[one] != 1)}" for one in Severity if counts[one])
        typer.echo(f"{seen.name}  revision {seen.revision}  {seen.cases} cases  {counted or 'sound'}")
    if seen.errors:
        raise typer.Exit(EXIT_FINDINGS)
