"""One HTML file out of data, styles, scripts and videos: it opens from disk and asks nobody for anything."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from motionbench.errors import MissingExtra
from motionbench.files import write_atomically

from . import media as videos
from . import overlay
from .archives import unpacked
from .boards import Board, make_boards
from .merging import merge
from .payload import attempts_data, json_in_script, packed_json, page_data
from .reading import read_runs

ASSETS = Path(__file__).parent / "assets"
STYLES = ("style.css", "table.css", "clips.css", "print.css")
# In this order: each file only calls what stands before it.
SCRIPTS = (
    "dom.js", "format.js", "state.js", "columns.js", "table.js", "filters.js", "downloads.js", "attempts.js",
    "tracks.js", "player.js", "clips.js", "figures.js", "theme.js", "main.js",
)  # fmt: skip


@dataclass(frozen=True)
class PagePlan:
    """What to make. limit_megabytes: of media, see `media.gather`; tracks: see `overlay.gather_tracks`."""

    out: Path
    title: str = "MotionBench leaderboard"
    media: videos.Mode = "embed"
    limit_megabytes: float | None = None
    tracks: overlay.Mode = "cached"
    device: str = "cpu"


@dataclass(frozen=True)
class PageResult:
    """What was made: the page's size in bytes, its boards, how many videos it shows, and what a reader is told."""

    size: int
    boards: tuple[Board, ...]
    embedded: int
    linked: int
    notes: tuple[str, ...]


def write_page(folders: Sequence[Path], out: Path, *, media: videos.Mode = "embed") -> Path:
    """The leaderboard's page of results folders, with tracks where scoring left them; returns its path."""
    make_page(folders, PagePlan(out, media=media))
    return out


def make_page(
    folders: Sequence[Path],
    plan: PagePlan,
    *,
    splits: Sequence[Path] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> PageResult:
    """Writes the page of these results folders and archives. Raises StoreError where results cannot be trusted."""
    with unpacked(folders) as places:
        runs = read_runs(places, splits)
        boards = make_boards(merge(runs))
        media = videos.gather(boards, plan.out, plan.media, plan.limit_megabytes)
        tracks = overlay.gather_tracks(media, plan.tracks, device=plan.device, report=report)
        data = page_data(boards, runs, media, plan.title)
        text = assemble(data, attempts_data(boards, media, tracks), media.embedded)
    write_atomically(plan.out, text.encode())
    return PageResult(len(text.encode()), tuple(boards), len(media.embedded), len(media.linked), tuple(data["notes"]))


def assemble(data: dict[str, Any], attempts: dict[str, Any], embedded: dict[str, str]) -> str:
    """The page's HTML. Data goes in as JSON that cannot end its element; scripts show it through textContent only."""
    parts = {
        "TITLE": html.escape(data["title"]),
        "STYLES": "\n".join(_asset(name) for name in STYLES),
        "DATA": json_in_script(data),
        "ATTEMPTS": packed_json(attempts),
        "VIDEOS": "\n".join(
            f'<script type="text/plain" id="video-{name}">{embedded[name]}</script>' for name in sorted(embedded)
        ),
        "SCRIPTS": "\n".join(_asset(name) for name in SCRIPTS),
        "PLOTLY": plotly_source(),
    }
    pieces = _asset("page.html").split("%%")
    # Odd pieces are names of parts. What is put in is never looked at again, so no text can pass for a part's name.
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def plotly_source() -> str:
    """plotly's own minified script, as its Python package carries it; reading the file spares importing the package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise MissingExtra("the page needs plotly; pip install plotly")
    source = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return source.replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
