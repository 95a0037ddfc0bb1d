"""The words of a text in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

LETTERS = ("L", "M")  # Unicode's categories: letters, and the marks upon them
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


def split_words(text: str, kinds: Collection[str] = LETTERS) -> list[str]:
    """The words of a text in lower case, in order; whatever is of none of the categories `kinds` separates.

    kinds: of Unicode, whole (`So`) or by their first letter (`L`). In scripts that put no spaces between words each
    sign is one; compatibility forms (full width, ligatures) count as what they stand for.
    """
    words: list[str] = []
    before = ""  # the letter before, if no separator is between
    for sign in unicodedata.normalize("NFKC", text).casefold():
        category = unicodedata.category(sign)
        if category not in kinds and category[0] not in kinds:
            before = ""
        elif before and category[0] == "M":
            words[-1] += sign
        elif before and not _is_unspaced(before) and not _is_unspaced(sign):
            words[-1] += sign
            before = sign
        else:
            words.append(sign)
            before = sign
    return words


def _is_unspaced(sign: str) -> bool:
    return ord(sign) > 0x0E00 and unicodedata.name(sign, "").startswith(UNSPACED)
