"""Tests of :mod:`mtl_edge.preprocessing.tokens`."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.preprocessing import Tokens, fit_tokens
from mtl_edge.preprocessing.frequencies import Frequencies
from mtl_edge.preprocessing.tokens import FIRST_WORD, PADDING, UNKNOWN, words

_TEXTS = st.lists(st.one_of(st.none(), st.text("abAB'1 .,ß", max_size=20)), min_size=1, max_size=10)


@given(_TEXTS, st.integers(1, 4), st.integers(1, 5))
def test_ids_lead_back_to_the_words(texts: list[str | None], max_words: int, max_vocabulary: int) -> None:
    """Every word of the vocabulary has its own id, others the unknown one, and padding follows the last word."""
    tokens = fit_tokens(texts, max_words=max_words, max_vocabulary=max_vocabulary, min_count=1)
    ids = tokens.encode(texts)
    assert (ids.dtype, ids.shape) == (np.int64, (len(texts), tokens.length))
    assert 1 <= tokens.length <= max_words
    assert len(tokens.vocabulary) <= max_vocabulary
    assert ids.max(initial=0) < tokens.ids
    for text, row in zip(texts, ids.tolist(), strict=True):
        found = words(text or "")[: tokens.length]
        assert row[len(found) :] == [PADDING] * (tokens.length - len(found))
        for word, number in zip(found, row, strict=False):
            known = word in tokens.vocabulary
            assert number == (FIRST_WORD + tokens.vocabulary.index(word) if known else UNKNOWN)


def test_the_most_frequent_words_are_known() -> None:
    """Case and punctuation do not count; rare words stay out."""
    tokens = fit_tokens(["The dog's day.", "the DOG'S", "a day"], max_words=9, max_vocabulary=3, min_count=2)
    assert tokens == Tokens(vocabulary=("day", "dog's", "the"), length=3)


def test_no_texts_have_no_rows() -> None:
    """An empty batch keeps its width."""
    assert Tokens(vocabulary=(), length=4).encode([]).shape == (0, 4)


def test_counting_forgets_single_words_when_there_are_too_many() -> None:
    """Memory is bounded, and frequent names stay."""
    frequencies = Frequencies()
    frequencies.add(["often"] * 3)
    frequencies.add(str(number) for number in range(1 << 20))
    assert len(frequencies) == 1
    assert frequencies.most_common(5, 1) == ("often",)
