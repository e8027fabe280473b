"""Words in arrays: made from a hot tier, and from several segments as one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.metadata.merge_sections import GONE
from pykyro.index.words import word_sections
from pykyro.index.words.frozen_words import COUNTS, ROWS, STARTS, TERMS, FrozenWords
from pykyro.index.words.mutable_words import MutableWords
from pykyro.index.words.word_sections import WordsPart, merge_words, words_of_tier

Document = dict[str, int]
TERM = st.sampled_from(["a", "ab", "abc", "b", "é", "東京", "𝔘", "z"])
DOCUMENTS = st.lists(
    st.tuples(st.dictionaries(TERM, st.integers(1, 70_000), max_size=5), st.booleans()), max_size=12
)


class Pieces:
    """Sections as they come."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)

    def append(self, name: str, piece: npt.NDArray[Any]) -> None:
        self.pieces[name].append(piece)

    def words(self, rows: int) -> FrozenWords:
        return FrozenWords({name: np.concatenate(some) for name, some in self.pieces.items()}, rows)


def frozen(documents: list[tuple[Document, bool]]) -> FrozenWords:
    """Of the documents that stay."""
    hot = MutableWords()
    for row, (counts, _) in enumerate(documents):
        hot.add(row, counts, sum(counts.values()))
    rows = np.array([row for row, (_, stays) in enumerate(documents) if stays], np.int64)
    pieces = Pieces()
    words_of_tier(hot, rows, pieces.append)
    return pieces.words(len(rows))


def read(words: FrozenWords, rows: int) -> list[Document]:
    documents: list[Document] = [{} for _ in range(rows)]
    for term in words.terms_from(""):
        postings = words.postings(term)
        assert postings is not None
        assert len(postings.rows) > 0
        assert (np.diff(postings.rows.astype(np.int64)) > 0).all()
        for row, count in zip(*(column.tolist() for column in postings), strict=True):
            documents[row][term] = count
    assert words.lengths(0, rows).tolist() == [sum(document.values()) for document in documents]
    return documents


@given(
    st.lists(DOCUMENTS.filter(lambda some: any(stays for _, stays in some)), min_size=1, max_size=4),
    st.data(),
)
def test_sections_hold_what_was_put_in(parts: list[list[tuple[Document, bool]]], data: st.DataObject) -> None:
    merging, expected, total = [], list[Document](), 0
    with (
        mock.patch.object(word_sections, "_TOGETHER", 3),
        mock.patch.object(word_sections, "_TERMS_TOGETHER", 2),
    ):
        for documents in parts:
            words, stay = frozen(documents), [counts for counts, stays in documents if stays]
            assert read(words, len(stay)) == stay
            kept = data.draw(st.lists(st.booleans(), min_size=len(stay), max_size=len(stay)))
            new_rows = np.full(len(stay), GONE, np.uint32)
            for row, counts in enumerate(stay):
                if kept[row]:
                    new_rows[row] = total
                    total += 1
                    expected.append(counts)
            merging.append(WordsPart(words, new_rows))
        pieces = Pieces()
        merge_words(merging, pieces.append)
    assert read(pieces.words(total), total) == expected


def test_what_begins_as_a_term_does() -> None:
    words = frozen([({"ab": 1, "abc": 1, "b": 1, "a": 2, "東京": 1}, True)])
    assert list(words.terms_from("ab")) == ["ab", "abc"]
    assert list(words.terms_from("東")) == ["東京"]
    assert list(words.terms_from("zz")) == []
    assert words.postings("abcd") is None
    assert words.postings("") is None


@pytest.mark.parametrize("name", [TERMS, STARTS, ROWS, COUNTS])
def test_sections_that_do_not_fit_are_refused(name: str) -> None:
    pieces = Pieces()
    hot = MutableWords()
    hot.add(0, {"a": 1, "b": 2}, 3)
    words_of_tier(hot, np.array([0]), pieces.append)
    pieces.pieces[name].append(pieces.pieces[name][0][:1])
    with pytest.raises(ValueError, match="words"):
        pieces.words(1)
    del pieces.pieces[name]
    with pytest.raises(ValueError, match=name):
        pieces.words(1)
