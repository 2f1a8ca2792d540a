"""Text as the positions of its words in a vocabulary."""

import re
from collections.abc import Iterable
from typing import ClassVar

import msgspec
import numpy as np

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

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Ids ``(N, length)`` as int64."""
        return raw.astype(np.int64, copy=False)

    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """Texts -> ids ``(N, length)`` as int64."""
        ids = {word: position for position, word in enumerate(self.vocabulary, start=FIRST_WORD)}
        rows = [[ids.get(word, UNKNOWN) for word in words(text)[: self.length]] for text in texts]
        return np.array([row + [PADDING] * (self.length - len(row)) for row in rows], np.int64)


def words(text: str) -> list[str]:
    """The words of a text, as :class:`Tokens` cuts them."""
    return _WORD.findall(text.lower())
