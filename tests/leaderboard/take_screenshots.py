"""Pictures of a leaderboard page for the documentation: `python tests/leaderboard/take_screenshots.py PAGE FOLDER`.

Writes FOLDER/leaderboard-1400.png and -390.png: what a desk and a phone show first.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
VIEWS = {1400: 1900, 390: 1700}  # width -> height, pixels


def take(page_file: Path, folder: Path) -> None:
    """Opens the page at each width, lets its figures draw, and takes the pictures."""
    chromium = os.environ.get("MOTIONBENCH_CHROMIUM") or shutil.which("chromium") or "chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        for width, height in VIEWS.items():
            page = open_page(browser, page_file, width, height)
            page.wait_for_timeout(1500)
            shoot(page, folder / f"leaderboard-{width}.png")
        browser.close()


def shoot(page: Any, path: Path) -> None:
    """A picture in 256 colors: a third of the size, and the eye sees no difference."""
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256).save(path, optimize=True)


def open_page(browser: Any, page_file: Path, width: int, height: int) -> Any:
    """A fresh light page of that size."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.goto(f"file://{page_file.resolve()}")
    return page


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
