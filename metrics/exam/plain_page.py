"""A Markdown page of headings, lists, tables and paragraphs as one HTML file that opens from disk."""

from __future__ import annotations

import html
import re

_STYLE = (
    "body{font-family:sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}"
)


def markdown_to_page(markdown: str, title: str) -> str:
    """The page as HTML; all text is escaped. Knows `#` headings, `- ` lists, `|` tables, `code` and *emphasis*."""
    blocks = [block for block in markdown.split("\n\n") if block.strip()]
    body = "\n".join(_block(block.strip("\n").split("\n")) for block in blocks)
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>\n<body>{body}</body></html>\n"
    )


def _block(lines: list[str]) -> str:
    first = lines[0]
    if first.startswith("#"):
        level = len(first) - len(first.lstrip("#"))
        return f"<h{level}>{_inline(first[level:].strip())}</h{level}>"
    if first.startswith("- "):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    if first.startswith("|"):
        head, _, *rows = lines
        return "<table>" + _row(head, "th") + "".join(_row(row, "td") for row in rows) + "</table>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _row(line: str, cell: str) -> str:
    cells = line.strip().removeprefix("|").removesuffix("|").split("|")
    return "<tr>" + "".join(f"<{cell}>{_inline(text.strip())}</{cell}>" for text in cells) + "</tr>"


def _inline(text: str) -> str:
    escaped = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", escaped.replace("**", ""))
