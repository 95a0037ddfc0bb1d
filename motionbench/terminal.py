"""What stands between a command's words and the terminal: streams that take any text, and how wide they are."""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
import textwrap
from typing import TextIO

WIDEST = 100  # columns: wider lines are hard to read, whatever the terminal has
NARROWEST = 20
PIPE = 80  # columns of a file or a pipe, which have no width of their own
# What we print that old encodings lack, in ASCII, each sign as wide as before where columns depend on it.
SUBSTITUTES = {
    "–": "-", "—": "-", "−": "-", "─": "-", "·": "|", "†": "+", "×": "x", "…": "...", "±": "+-",
    "↑": "^", "↓": "v", "→": ">", "≤": "<=", "≥": ">=", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
ERRORS, ASCII = "motionbench.substitute", "motionbench_ascii"


def substitute(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what a stream cannot write: a likeness where there is one, else its number as a backslash escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(s) or s.encode("ascii", "backslashreplace").decode() for s in signs), error.end


def open_streams() -> None:
    """Makes stdout and stderr take any text: in any encoding, and where they were closed before we began.

    A closed stream's number would go to the next file that is opened, and what libraries write to stderr into it.
    """
    codecs.register_error(ERRORS, substitute)
    codecs.register(find_ascii)
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115  as long as we live
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if is_ascii else stream.encoding, errors=ERRORS)


def find_ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII by another name: a stream whose encoding is called so click takes for a mistake, and writes UTF-8 to it."""
    codec = codecs.lookup("ascii")
    ways = (codec.encode, codec.decode, codec.streamreader, codec.streamwriter)
    return codecs.CodecInfo(*ways, codec.incrementalencoder, codec.incrementaldecoder, ASCII) if name == ASCII else None


def writes_unicode(stream: TextIO | None) -> bool:
    """Whether a stream writes every sign as it is."""
    return str(getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody may be looking; False for a stream that is closed or absent."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed meanwhile
        return False


def width() -> int:
    """Columns that a line on stdout may take: $COLUMNS, else the terminal's, at most WIDEST; PIPE without either."""
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size((PIPE, 24)).columns))


def fill(text: str, indent: int = 0) -> str:
    """A text in lines of at most `width()` columns, all but the first `indent` columns in; a longer word is broken."""
    columns = width()
    ahead = " " * min(indent, columns // 2)
    return "\n".join(textwrap.wrap(text, columns, subsequent_indent=ahead, break_on_hyphens=False))


def fill_record(text: str, indent: int = 0) -> str:
    """As `fill` on a terminal; one line in a file or a pipe, which are searched and counted by lines."""
    return fill(text, indent) if is_terminal(sys.stdout) else text
