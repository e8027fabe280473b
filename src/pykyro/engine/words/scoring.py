"""The scores of the rows of one tier, some hundred thousand rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pykyro.engine.tiers.tier import Marks
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.engine.words.snapshot import TierThen
from pykyro.engine.words.sought import PhraseSought, Sought
from pykyro.index.words.bm25 import Bm25, Scores
from pykyro.index.words.postings import Postings
from pykyro.index.words.query import Occur, has_phrase
from pykyro.model.types import Rows

BLOCK_ROWS: Final = 1 << 17
_NONE: Final = np.empty(0, np.uint32)


class Scored(NamedTuple):
    """Rows that match, ascending, and their scores."""

    rows: Rows
    scores: Scores


class TierScores:
    """Of one tier and one query. `among` marks the rows that may match; None when all may."""

    def __init__(
        self,
        then: TierThen,
        among: Marks | None,
        sought: Sought,
        postings: dict[str, Postings],
        bm25: Bm25,
        words: CollectionWords,
    ) -> None:
        self._then = then
        self._among = among
        self._sought = sought
        self._postings = postings
        self._bm25 = bm25
        self._words = words

    def blocks(self, pause: Callable[[], None]) -> Iterator[Scored]:
        """All rows that match."""
        for first in range(0, self._then.rows, BLOCK_ROWS):
            pause()
            yield self._block(first, min(first + BLOCK_ROWS, self._then.rows))

    def of(self, rows: Rows) -> Scores:
        """The score of each of these rows, ascending; 0 for one that does not match."""
        scores = np.zeros(len(rows), np.float64)
        for block in np.unique(rows // BLOCK_ROWS).tolist():
            here = np.flatnonzero(rows // BLOCK_ROWS == block)
            found = self._block(int(rows[here[0]]), int(rows[here[-1]]) + 1)
            places = np.searchsorted(found.rows, rows[here])
            known = places < len(found.rows)
            known[known] = found.rows[places[known]] == rows[here[known]]
            scores[here[known]] = found.scores[places[known]]
        return scores

    def _block(self, first: int, last: int) -> Scored:
        """The rows from `first` up to `last` that match."""
        scores = np.zeros(last - first, np.float64)
        lengths = self._then.words.lengths(first, last)
        for term, weight in self._sought.weights.items():
            documents = self._sought.documents.get(term, 0)
            rows, counts = self._part(term, first, last)
            if documents and len(rows):
                norms = self._bm25.norms(lengths[rows])
                scores[rows] += self._bm25.scores(weight, documents, counts, norms)
        may = np.ones(last - first, np.bool_) if self._among is None else self._among[first:last].copy()
        for terms in self._sought.must:
            may &= self._having(terms, first, last)
        for terms in self._sought.never:
            may &= ~self._having(terms, first, last)
        for phrase in self._sought.phrases:
            having = self._with_phrase(phrase, may, first, last)
            if phrase.clause.occur is Occur.NOT:
                may[having] = False
                continue
            if phrase.clause.occur is Occur.MUST:
                only = np.zeros(last - first, np.bool_)
                only[having] = True
                may &= only
            self._score_phrase(phrase, having, scores, self._bm25.norms(lengths[having]), first, last)
        matching = np.flatnonzero((scores > 0.0) & may)
        return Scored(matching + first, scores[matching])

    def _part(self, term: str, first: int, last: int) -> Postings:
        """The postings of a term from row `first` up to `last`, rows counted from `first`."""
        found = self._postings.get(term)
        if found is None:
            return Postings(_NONE, _NONE)
        rows, counts = found
        # Of a hot tier there may be rows behind those that the snapshot knows.
        start, end = np.searchsorted(rows, (first, last)).tolist()
        return Postings(rows[start:end] - np.uint32(first), counts[start:end])

    def _having(self, terms: frozenset[str], first: int, last: int) -> Marks:
        marks = np.zeros(last - first, np.bool_)
        for term in terms:
            marks[self._part(term, first, last).rows] = True
        return marks

    def _with_phrase(self, phrase: PhraseSought, may: Marks, first: int, last: int) -> Rows:
        """Those of the rows that may match in whose text the phrase is, counted from `first`."""
        for term in sorted(set(phrase.clause.terms)):
            may = may & self._having(frozenset({term}), first, last)
        having = [row for row in np.flatnonzero(may).tolist() if self._reads(phrase, first + row)]
        return np.array(having, np.int64)

    def _reads(self, phrase: PhraseSought, row: int) -> bool:
        words = self._words
        return any(
            has_phrase(phrase.clause, words.analyser.terms(text))
            for _, text in words.texts(self._then.tier.metadata(row).whole())
        )

    def _score_phrase(
        self, phrase: PhraseSought, having: Rows, scores: Scores, norms: Scores, first: int, last: int
    ) -> None:
        """What the words of a phrase give to the rows that have it, of these norms."""
        if not len(having):
            return
        for term in sorted(set(phrase.clause.terms)):
            rows, counts = self._part(term, first, last)
            places = np.searchsorted(rows, having)
            scores[having] += self._bm25.scores(
                phrase.weight, self._sought.documents[term], counts[places], norms
            )
