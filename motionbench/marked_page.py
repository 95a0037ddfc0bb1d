"""Pages whose tables are made by a script and stand between two marks; what somebody wrote around them stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

BEGIN, END = "<!-- tables:begin -->", "<!-- tables:end -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def put_between(page: Path, text: str, *, empty: str | None = None) -> None:
    """Replaces what stands between the marks of a page.

    empty: the page with both marks that one begins as which has none, or is not there; without it ValueError is raised.
    """
    page_text = page.read_text(encoding="utf-8") if empty is None or page.exists() else empty
    if BEGIN not in page_text or END not in page_text:
        if empty is None:
            raise ValueError(f"{page}: expected the marks {BEGIN} and {END}, found none; put them where tables belong")
        page_text = empty
    before, after = page_text[: page_text.index(BEGIN)], page_text[page_text.rindex(END) :]
    page.write_text(f"{before}{BEGIN}\n{text}\n{after}", encoding="utf-8")
