"""What `mkdocs build` does beside rendering: puts the packages together as setuptools does, for the API reference."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "out" / "api"
MARK = "<!-- settings -->"
ROOMS = ("data_cards", "leaderboard", "methods", "metrics")


def on_startup(command: str, dirty: bool) -> None:
    """Readies the tutorials' environment, and copies core and packages to out/api, to be read, not imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of libraries are no part of a page
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads that wait for each other cost a busy machine minutes
    package = SOURCE / "motionbench"
    shutil.rmtree(package, ignore_errors=True)
    for folder, target in {"motionbench": package, **{room: package / room for room in ROOMS}}.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            copy = target / path.relative_to(ROOT / folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page of settings with its tables, as the installed methods' own fields say them."""
    return markdown.replace(MARK, settings_tables()) if page.file.src_uri == "settings.md" else markdown


def settings_tables() -> str:
    """A table for each method that takes settings: key, type, default and meaning."""
    from motionbench import registry
    from motionbench.config import describe

    parts = []
    for name in registry.names("methods"):
        method = registry.load("methods", name)
        rows = [(f"`{row.key}`", row.type, f"`{row.default}`", row.help) for row in describe(method.Config)]
        if rows:
            presets = ", ".join(f"`{preset}`" for preset in sorted(method.presets)) or "none"
            cells = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
            head = "| key | type | default | meaning |\n|---|---|---|---|"
            parts.append("\n".join([f"## `{name}`\n\nPresets: {presets}.\n", head, *cells]))
    return "\n\n".join(parts)


def on_post_build(config: Any) -> None:
    """Removes the copy, which would be found by searches and by mistake."""
    shutil.rmtree(SOURCE, ignore_errors=True)
