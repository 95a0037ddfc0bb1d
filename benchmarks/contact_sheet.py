"""Draw the same cases by many methods: a row a results folder, below the references; a column a case, of some frames.

Example (docs/lite.webp):
  python benchmarks/contact_sheet.py results/many/lite/* --case camera/0002/2 --case human/0003/2 --out docs/lite.webp
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from motionbench.clip import Clip, nearest_indices
from motionbench.split import Split, read_split
from motionbench.store import ResultStore

GAP, FONT = 6, 13  # px
Strip = NDArray[np.uint8]


def strip(clip: Clip, frames: int, height: int) -> Strip:
    """`frames` of a clip side by side (height, W, 3), enlarged without blending."""
    row = np.concatenate(list(clip.frames[nearest_indices(len(clip), frames)]), axis=1)
    size = (round(row.shape[1] * height / row.shape[0]), height)
    return np.asarray(Image.fromarray(row).resize(size, Image.Resampling.NEAREST))


def rows_of(
    stores: Sequence[ResultStore], split: Split, cases: Sequence[str], frames: int, height: int
) -> list[tuple[str, list[Strip | None]]]:
    """(label, strips) of the references and of each folder; None where a folder has no such clip."""
    by_id = split.by_id()
    rows: list[tuple[str, list[Strip | None]]] = [
        ("reference", [strip(split.read_reference(by_id[case]), frames, height) for case in cases])
    ]
    for store in stores:
        made = {record.case_id: record for record in reversed(store.records()) if record.status == "ok"}  # first seed
        strips = [strip(store.read_video(made[case]), frames, height) if case in made else None for case in cases]
        rows.append((store.folder.name, strips))
    return rows


def shortened(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """A text cut to a width in pixels."""
    while font.getlength(text) > width:
        text = text.removesuffix("…")[:-1] + "…"
    return text


def draw(rows: Sequence[tuple[str, list[Strip | None]]], titles: Sequence[tuple[str, ...]]) -> Image.Image:
    """One picture: the lines of each case's title above, labels on the left."""
    font = ImageFont.load_default(FONT)
    left = GAP + max(round(font.getlength(label)) for label, _ in rows) + GAP
    widths = [max(s.shape[1] for s in column if s is not None) for column in zip(*(s for _, s in rows), strict=True)]
    height = next(s.shape[0] for s in rows[0][1] if s is not None)
    top = max(map(len, titles)) * (FONT + GAP) + GAP
    sheet = Image.new("RGB", (left + sum(widths) + GAP * len(widths), top + (height + GAP) * len(rows)), "white")
    pen, x = ImageDraw.Draw(sheet), left
    for y, (label, _) in enumerate(rows):
        pen.text((GAP, top + (height + GAP) * y + (height - FONT) // 2), label, fill="black", font=font)
    for column, (title, width) in enumerate(zip(titles, widths, strict=True)):
        for number, line in enumerate(title):
            pen.text((x, GAP + number * (FONT + GAP)), shortened(line, width, font), fill="black", font=font)
        for y, (_, strips) in enumerate(rows):
            if (held := strips[column]) is not None:
                sheet.paste(Image.fromarray(held), (x, top + (height + GAP) * y))
        x += width + GAP
    return sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--case", action="append", required=True, help="such as camera/0003/2; repeatable")
    parser.add_argument("--split", default="lite")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--height", type=int, default=64, help="pixels of a frame")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    split = read_split(args.split)
    unknown = sorted(set(args.case) - set(split.by_id()))
    if unknown:
        raise SystemExit(f"split {split.name} has no case {', '.join(unknown)}")
    rows = rows_of([ResultStore(folder) for folder in args.results], split, args.case, args.frames, args.height)
    titles = [(case, split.by_id()[case].prompt) for case in args.case]
    draw(rows, titles).save(args.out, quality=80, method=6)  # a PNG of as many clips is three times as large


if __name__ == "__main__":
    main()
