"""An answer made from a cached entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from pykyro.cache.documents import Documents
from pykyro.cache.entry_table import Entry
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.metadata_wire import TEXT_ID_TAG, text_id_in
from pykyro.model.requests import CachedKind
from pykyro.model.types import Metric

Admits = Callable[[Hashable, Mapping[str, str]], bool]
"""Whether an entry with this key wants a document with this metadata, reserved entries included."""
OwnerOf = Callable[[Hashable], int]
"""Of which owner the documents of an entry with this key are."""


@dataclass(slots=True)
class Cached:
    """An answer, best first, equal scores by ascending doc_id.

    `rows` are the rows of `documents` it consists of, `scores` theirs. `passing` documents of the `examined` in
    the entry reach the score asked for. `exact` says that it is the true answer. `margin` is by how much the
    score of the last result needed exceeds the highest that any document outside the entry could have: infinite
    when nothing is outside, NaN when nothing is proved. `similarity` is the cosine of the two queries, NaN
    for proved kinds. An answer with `check` is not to be served but to be compared with a real search. Once made
    it is not edited: it may be served again.
    """

    kind: CachedKind
    slot: int
    entry: Entry
    documents: Documents
    rows: list[int]
    doc_ids: list[int]
    scores: list[float]
    passing: int
    kth: float
    exact: bool = False
    margin: float = math.nan
    similarity: float = math.nan
    check: bool = False

    @property
    def examined(self) -> int:
        return len(self.documents.doc_ids)

    def prove(self, outside: float, score_min: float, metric: Metric) -> bool:
        """Whether no document of a similarity of at most `outside` can change the answer; sets `margin`.

        It cannot when it is less similar than the k-th best and what is shown as equal to that, or when it does not
        reach the score asked for.
        """
        if outside == -math.inf:
            self.margin = math.inf
        else:
            bound = score(outside, metric)
            if distance.shown_alike_from(self.kth, metric) > outside:
                self.margin = score(self.kth, metric) - bound
            elif score_min > 0 and float(np.float32(score_min)) > bound:
                self.margin = float(np.float32(score_min)) - bound
            else:
                return False
        self.exact = self.entry.exact
        return True


@dataclass(slots=True)
class Lookup:
    """A search that asks the cache first; what it then finds itself is offered with this. `since` is the number of
    the commit sequence at that moment, `vector` the bytes of the query's float32 values, and `to_check` an answer
    to compare with what the search finds."""

    key: Hashable
    vector: bytes
    query: Query
    since: int
    to_check: Cached | None = None


def ranked(
    entry: Entry, slot: int, query: Query, metric: Metric, k: int, score_min: float, kind: CachedKind
) -> Cached:
    """The best `k` documents of an entry for this query whose score is at least `score_min` (<= 0: any)."""
    documents = entry.held.fetched()
    similarities = query.similarities(documents.vectors, documents.norms)
    order, shown = distance.best(similarities, documents.doc_ids, metric, k)
    wires = documents.metadata
    if len(wires) and wires[0].startswith(TEXT_ID_TAG) and distance.has_ties(shown, order, k):
        texts = [text_id_in(wire) for wire in wires]
        numbers = distance.numbers_by_text(texts, np.arange(len(texts)), len(texts))
        order, shown = distance.best(similarities, numbers, metric, k)
    kth = float(similarities[order[k - 1]]) if k <= len(order) else -math.inf
    passing = len(order)
    if score_min > 0:
        # Scores fall with the similarity, so those that pass stand in front.
        passing = int(np.count_nonzero(shown >= np.float32(score_min)))
    rows = order[: min(k, passing)]
    scores: list[float] = shown[rows].tolist()
    doc_ids: list[int] = documents.doc_ids[rows].tolist()
    return Cached(kind, slot, entry, documents, rows.tolist(), doc_ids, scores, passing, kth)


def score(similarity: float, metric: Metric) -> float:
    """distance.scores of one similarity."""
    return distance.scores(np.array([similarity]), metric).item()
