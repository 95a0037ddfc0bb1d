"""The words of a text in any script."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionbench.words import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A red Ball, don't!", ["a", "red", "ball", "don", "t"]),
        ("ＲＥＤ caﬁ", ["red", "cafi"]),  # full width, a ligature
        ("红色的球", ["红", "色", "的", "球"]),
        ("カメラ", ["カ", "メ", "ラ"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # marks belong to their letters
        ("สีแดง", ["สี", "แ", "ด", "ง"]),
        ("red球blue", ["red", "球", "blue"]),
        ("Привет, мир", ["привет", "мир"]),
        ("123 🔴", []),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_digits_and_symbols_count_where_asked_for() -> None:
    assert split_words("2 balls, 🔴!", ("L", "M", "N", "So")) == ["2", "balls", "🔴"]


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_split_at_all_that_is_no_letter(text: str) -> None:
    assert split_words(text) == re.findall("[a-z]+", text.lower())


@given(st.text())
def test_any_text_has_words_without_separators(text: str) -> None:
    assert all(word and not word.isspace() for word in split_words(text))
