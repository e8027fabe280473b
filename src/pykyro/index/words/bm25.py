"""BM25: how well a document answers a query, from how often it has the words of the query.

    idf(t)      = ln(1 + (N - n + 0.5) / (n + 0.5))
    score(d, t) = weight · idf(t) · (f · (k1 + 1) / (f + k1 · (1 - b + b · length / average)))
    score(d)    = the sum over the terms of the query, in the order of their code points

N counts the live documents of the collection, of the caller's tenant where there are tenants, n those of them that
have the term; f is how often the document has it, `length` how many words it has, `average` the mean of that over the
N documents. All of these are whole numbers that are counted, never kept by a segment; the arithmetic is that of
float64, in this order. So a document has one score to the last bit, wherever it stands.

Robertson, Zaragoza: The probabilistic relevance framework: BM25 and beyond, 2009; the idf is that of Apache Lucene,
which is never negative.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pykyro.index.words.postings import Counts

Scores = npt.NDArray[np.float64]


class Corpus(NamedTuple):
    """The documents among which a query is asked: how many, and how many words they have together."""

    documents: int
    words: int


class Bm25(NamedTuple):
    """The arithmetic for one corpus."""

    k1: float
    b: float
    corpus: Corpus

    def norms(self, lengths: npt.NDArray[np.unsignedinteger]) -> Scores:
        """What the length of each document makes of k1."""
        average = self.corpus.words / self.corpus.documents if self.corpus.words else 1.0
        return self.k1 * (1.0 - self.b + self.b * lengths.astype(np.float64) / average)

    def idf(self, documents: int) -> float:
        """Of a term that so many documents have."""
        return math.log(1.0 + (self.corpus.documents - documents + 0.5) / (documents + 0.5))

    def scores(self, weight: float, documents: int, counts: Counts, norms: Scores) -> Scores:
        """What a term gives to documents that have it so often."""
        often = counts.astype(np.float64)
        return weight * self.idf(documents) * (often * (self.k1 + 1.0) / (often + norms))
