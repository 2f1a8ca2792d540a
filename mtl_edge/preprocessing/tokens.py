"""Text as the positions of its words in a vocabulary."""

import re
from collections.abc import Iterable
from typing import ClassVar

import msgspec
import numpy as np

from mtl_edge.preprocessing.frequencies import Frequencies

PADDING = 0
UNKNOWN = 1
FIRST_WORD = 2

_WORD = re.compile(r"[a-z0-9']+")


class Tokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens", tag_field="kind"):
    """Text in lower case, cut into runs of ``a-z0-9'``, at most ``length`` of them, padded with 0 at the end.

    Id 1 stands for every word that is not in the vocabulary, id 2 for the first one that is.
    """

    dtype: ClassVar[str] = "int64"
    raw_dtype: ClassVar[str] = "int64"

    vocabulary: tuple[str, ...]
    length: int

    @property
    def ids(self) -> int:
        """How many ids there are."""
        return FIRST_WORD + len(self.vocabulary)

    def layout(self, rank: int) -> str:
        """The axes of its input: texts and words."""
        return "NT"

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Ids ``(N, length)`` as int64, copied."""
        return raw.astype(np.int64)

    def encode(self, texts: Iterable[str | None]) -> np.ndarray:
        """Texts -> ids ``(N, length)`` as int64; a missing text is all padding."""
        ids = {word: position for position, word in enumerate(self.vocabulary, start=FIRST_WORD)}
        rows = [[ids.get(word, UNKNOWN) for word in words(text or "")[: self.length]] for text in texts]
        padded = [row + [PADDING] * (self.length - len(row)) for row in rows]
        return np.array(padded, np.int64).reshape(-1, self.length)


def words(text: str) -> list[str]:
    """The words of a text, as :class:`Tokens` cuts them."""
    return _WORD.findall(text.lower())


def fit_tokens(texts: Iterable[str | None], *, max_words: int, max_vocabulary: int, min_count: int) -> Tokens:
    """The vocabulary of the training texts: words that occur ``min_count`` times, the most frequent first.

    Args:
        texts: None where one is missing.
        max_words: words beyond are cut off; less, if no training text is as long.
        max_vocabulary: how many words are told apart.
        min_count: how often they must occur.
    """
    frequencies = Frequencies()
    longest = 1
    for text in texts:
        found = words(text or "")
        longest = max(longest, len(found))
        frequencies.add(found)
    return Tokens(vocabulary=frequencies.most_common(max_vocabulary, min_count), length=min(max_words, longest))
