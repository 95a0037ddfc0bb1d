"""Words to token numbers for tiny-clip: open_clip's own vocabulary of 49,408 would be five times the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from motionbench.errors import MissingWeightsError
from motionbench.words import split_words

from .content import FUNCTION_WORDS

PAD, UNKNOWN, START = 0, 1, 2
CONTEXT_LENGTH = 32


class WordTokenizer:
    """A callable like open_clip's tokenizers: texts -> (B, context_length) int64, padded with 0, cut where too long.

    Numbers: 0 padding, 1 unknown word, 2 start, then the words in order, and last the end, which open_clip finds as
    the largest number.
    """

    def __init__(self, words: Sequence[str], context_length: int = CONTEXT_LENGTH) -> None:
        self.words, self.context_length = tuple(words), context_length
        self.numbers = {word: i + START + 1 for i, word in enumerate(self.words)}
        self.end = START + 1 + len(self.words)

    @property
    def vocab_size(self) -> int:
        """How many different token numbers there are."""
        return self.end + 1

    @classmethod
    def from_file(cls, path: Path) -> WordTokenizer:
        """The tokenizer saved by `save`. Raises MissingWeightsError if the file is absent or malformed."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(content["words"], content["context_length"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingWeightsError(f"no tiny-clip vocabulary at {path}: {error}; reinstall the package") from error

    def save(self, path: Path) -> None:
        """Write words and context length as JSON."""
        path.write_text(json.dumps({"context_length": self.context_length, "words": self.words}, indent=1) + "\n")

    def split(self, text: str) -> list[str]:
        """Lower-case words of a text in any script; everything but letters separates."""
        return split_words(text)

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the model has never seen, in order; function words, which say nothing, aside."""
        return [word for word in self._content_words(text) if word not in self.numbers]

    def is_foreign(self, text: str) -> bool:
        """Whether the model cannot know what a text is about: most of its content words are unknown, or it has none."""
        words = self._content_words(text)
        return not words or 2 * len(self.unknown_words(text)) > len(words)

    def _content_words(self, text: str) -> list[str]:
        return [word for word in self.split(text) if word not in FUNCTION_WORDS]

    def count_tokens(self, text: str) -> int:
        """Tokens of a text with its start and end, before any cutting."""
        return len(self.split(text)) + 2

    def truncated(self, text: str) -> bool:
        """Whether a text is too long, so that its last words are not read."""
        return self.count_tokens(text) > self.context_length

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> torch.Tensor:
        length = context_length or self.context_length
        rows = [texts] if isinstance(texts, str) else list(texts)
        out = torch.full((len(rows), length), PAD, dtype=torch.long)
        for row, text in zip(out, rows, strict=True):
            middle = [self.numbers.get(word, UNKNOWN) for word in self.split(text)][: length - 2]
            tokens = torch.tensor([START, *middle, self.end])
            row[: len(tokens)] = tokens
        return out
