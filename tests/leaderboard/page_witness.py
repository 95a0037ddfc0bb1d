"""A page in a real browser, and what it says and asks for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class Witness:
    """What pages said and fetched: nothing may go to the console or over a network."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.browser, self.path = browser, path
        self.complaints: list[str] = []
        self.contexts: list[Any] = []

    def open(self, path: Path | None = None, address: str = "", **options: Any) -> Any:
        """A page, opened from disk."""
        context = self.browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)  # a busy machine draws slowly
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._note(request.url))
        page.goto(f"file://{path or self.path}{address}")
        return page

    def _note(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"request: {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()


def wait_until(page: Any, expression: str, seconds: float = 90.0) -> None:
    """Polls from here: Playwright's own waiting evaluates text in the page, which the page's policy rightly forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.03)
