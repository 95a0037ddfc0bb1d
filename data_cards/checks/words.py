"""Words: licenses, captions and prompts against their levels, and the balance of categories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from motionbench.case import Category, Level
from motionbench.words import split_words

from ..hub.licenses import hub_license
from .finding import Finding, Severity
from .manifest import Line

NO_LICENSE = {"", "unknown", "none", "todo", "tbd", "na", "null"}  # with what is no letter left out
TELLING = ("L", "M", "N", "So")  # Unicode's categories of what tells a prompt: letters, digits, emoji
SAME_WORDS = 0.9  # share of words in common from which a prompt of another level counts as the caption again


def check_words(path: Path, line: Line) -> Iterator[Finding]:
    """What is wrong with the words of one case."""
    case, here = line.case, (str(path), line.number)
    if "".join(split_words(case.license)) in NO_LICENSE:
        yield Finding("license", case.id, f"{case.license!r} is no license; name it, or remove the clip", *here)
    elif hub_license(case.license) == "other":
        text = f"{case.license!r} is no SPDX identifier; whoever uses the clip must look up what it allows"
        yield Finding("license", case.id, text, *here, severity=Severity.WARNING)
    same = words_in_common(case.caption, case.prompt)
    if case.level is Level.CAPTION and same < 1:
        yield Finding("level", case.id, "at level caption the prompt must be the caption", *here)
    if case.level is not Level.CAPTION and same >= SAME_WORDS:
        yield Finding("level", case.id, f"at level {case.level} the prompt must differ from the caption", *here)


def words_in_common(a: str, b: str) -> float:
    """Share of words that two texts share, order, case and punctuation aside: 1 for the same words."""
    one, two = sorted(words_of(a)), sorted(words_of(b))
    if one == two:
        return 1.0
    return len(set(one) & set(two)) / max(1, len(set(one) | set(two)))


def words_of(text: str) -> list[str]:
    """What tells a text from others: its words in any script, or the text itself where it has none."""
    return split_words(text, TELLING) or [text.strip()]


def check_prompts(path: Path, lines: list[Line]) -> Iterator[Finding]:
    """Prompts that two cases of one reference share, and levels that stand twice."""
    seen: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = (line.case.reference_id, " ".join(words_of(line.case.prompt)))
        other = seen.setdefault(key, line)
        if other is not line:
            text = f"has the prompt of {other.case.id} (line {other.number}); one of them tests nothing"
            yield Finding("prompt", line.case.id, text, str(path), line.number)


def check_balance(path: Path, lines: list[Line]) -> Iterator[Finding]:
    """Categories without references, and ones with under half as many as the largest."""
    counts = {c: len({line.case.reference_id for line in lines if line.case.category == c}) for c in Category}
    most = max(counts.values())
    for category, count in counts.items():
        if count * 2 < most:
            text = f"{count} references, and the largest category has {most}: means over categories get uneven weights"
            yield Finding("balance", category.value, text, str(path), severity=Severity.WARNING)
