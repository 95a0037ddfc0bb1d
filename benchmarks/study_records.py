"""A study's records in one small file, and its page from that file alone.

    python benchmarks/study_records.py pack results/studies/ablation docs/results/records/ablation.tar.xz
    python benchmarks/study_records.py page docs/results/records/ablation.tar.xz benchmarks/studies/ablation.toml \
      --page docs/results/ablation.md --picture docs/results/ablation.svg --leave-out backbone

Packed are run.json, records and scores of every variant and control, no video. Of a score's details only those stay
that say what it rests on (tracker, model): all numbers of the page are computed again from the values.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from contrast_plot import draw
from motionbench.leaderboard.archives import to_archive, unpacked
from motionbench.leaderboard.privacy import without_paths

from motionbench.files import canonical_json, write_atomically

BASIS = ("tracker", "model", "scored_at")  # of a score's details


def pack(results: Path, target: Path) -> int:
    """Writes the file; the same bytes for the same results. Returns how many folders it holds."""
    folders = [path.parent for path in sorted(results.rglob("run.json"))]
    files = {
        (folder.relative_to(results) / name).as_posix(): data for folder in folders for name, data in kept_files(folder)
    }
    write_atomically(target, to_archive(files, target))
    return len(folders)


def kept_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of what is packed of one results folder."""
    for name, shorten in (("run.json", plain), ("records.jsonl", str), ("scores.jsonl", lean)):
        path = folder / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            parts = [text] if name == "run.json" else text.splitlines()
            yield name, "".join(f"{shorten(part)}\n" for part in parts).encode()


def plain(text: str) -> str:
    """run.json without the paths of the machine where it was written; the configuration is its identity and stays."""
    run = json.loads(text)
    return canonical_json({**without_paths(run), **{key: run[key] for key in ("configuration",) if key in run}})


def lean(line: str) -> str:
    """A score's line with only the details that it rests on."""
    score = json.loads(line)
    score["details"] = {key: score["details"][key] for key in BASIS if key in score["details"]}
    return canonical_json(score)


def write_page(
    records: Path, study: Path, page: Path, html: Path | None, picture: Path | None, left_out: Sequence[str]
) -> int:
    """Writes the study's pages and its picture from the packed records; returns the exit code of `motionbench study`.

    left_out: variants whose differences are off the picture's scale.
    """
    with unpacked([records]) as (folder,):
        words = ["study", str(study), "--out", str(folder), "--no-run", "--no-score", "--page", str(page)]
        code = subprocess.run([sys.executable, "-m", "motionbench", *words], check=False).returncode
        if html is not None:
            write_atomically(html, (folder / "study.html").read_bytes())
        if picture is not None:
            found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
            write_atomically(picture, draw(found, "motion_fidelity", left_out).encode())
        return code


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="records of a study's results into one file")
    packing.add_argument("results", type=Path)
    packing.add_argument("target", type=Path)
    paging = commands.add_parser("page", help="the study's page from that file")
    paging.add_argument("records", type=Path)
    paging.add_argument("study", type=Path)
    paging.add_argument("--page", type=Path, required=True, help="Markdown; its tables are replaced")
    paging.add_argument("--html", type=Path, help="also the page with plots")
    paging.add_argument("--picture", type=Path, help="also the contrasts of motion fidelity as an SVG")
    paging.add_argument(
        "--leave-out", action="append", default=[], metavar="VARIANT", help="of the picture; repeatable"
    )
    args = parser.parse_args(argv)
    if args.command == "page":
        return write_page(args.records, args.study, args.page, args.html, args.picture, args.leave_out)
    print(f"{args.target}: {pack(args.results, args.target)} folders, {args.target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
