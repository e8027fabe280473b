"""A search of the table: which plan, how many rows to ask for, and what is proved by what came back.

PostgreSQL puts rows in order by distances in float32. What it returns is scored here from the same float32 values in
float64, as everything is (pykyro.model.distance), so scores are those of a local tier to the last bit. How far its
distances can be from the true ones is known: with it, the distance of the last row says how near a row that was not
returned can be at most. An exact search asks for more until that is further away than the k-th best.

The bound holds while no product leaves float32: outside of `_TRUSTED` all rows are read and scored here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.remote.fetched import FetchedRows
from pykyro.engine.remote.link import VectorValue
from pykyro.engine.remote.rows import vector_bytes
from pykyro.engine.remote.schema import INDEXED_DIMENSION_MAX, INDEXED_FROM
from pykyro.engine.remote.table import EF_MAX, Documents, RemoteTable, Which, joined, taken
from pykyro.engine.tiers.tier import NO_ROWS, Candidates, TierRequest, no_candidates
from pykyro.model.distance import Query, Similarities, shown_alike_from
from pykyro.model.types import Metric
from pykyro.storage.manifest import RemoteEntry

_WALKED_MAX: Final = 15_000
"""About so many rows are looked at by a walk before enough of them match: then it stops (hnsw.max_scan_tuples)."""
_SPARE: Final = 8
_HIDDEN_SENT: Final = 512
"""So few hidden rows are left out by the statement; of more it is likely that none is met."""
_OVER_FETCH_MAX: Final = 32
_TRUSTED: Final = (1e-12, 1e12)
_READ_TOGETHER: Final = 2048


@dataclass(frozen=True, slots=True)
class _Scored:
    """Rows, their similarities, and how similar one that is not among them can be."""

    documents: Documents
    similarities: Similarities
    unseen: float
    exact: bool
    plan: str


class TableSearch:
    """One search, or several that differ in their vectors only. `matched` rows satisfy its filter."""

    def __init__(
        self, table: RemoteTable, entry: RemoteEntry, request: TierRequest, which: Which, matched: int
    ) -> None:
        self._table = table
        self._entry = entry
        self._request = request
        self._which = which
        self._matched = matched
        self._wanted = request.k + min(_OVER_FETCH_MAX, request.over_fetch or 0)

    def search(self, query: Query) -> Candidates:
        """Raises RemoteAway, Unavailable, FailedPrecondition."""
        if not self._matched:
            return no_candidates("postgres: no row matches")
        if not self._is_trusted(query):
            scored = self._all(query)
        elif self._is_exact():
            scored = self._proved(query)
        else:
            scored = self._walked(query) or self._proved(query)
        return self._candidates(scored)

    def _is_trusted(self, query: Query) -> bool:
        least, most = _TRUSTED
        low, high = self._entry.norm_min or 0.0, self._entry.norm_max or 0.0
        return least <= low and high <= most and least <= query.length <= most

    def _is_exact(self) -> bool:
        if self._request.exact or self._table.dimension > INDEXED_DIMENSION_MAX:
            return True
        matched = self._matched
        return matched <= INDEXED_FROM or self._wanted * self._entry.documents > _WALKED_MAX * matched

    def _walked(self, query: Query) -> _Scored | None:
        """What the index finds; None when it came to no end of the k best."""
        vector, which = VectorValue(vector_bytes(query.vector)), self._which
        if len(which.hidden) > _HIDDEN_SENT:
            which = Which(which.end, type(which.hidden)(), which.condition)
        limit = self._wanted + _SPARE
        for _ in range(2):
            ef = min(EF_MAX, max(self._request.ef, limit))
            found, text = self._table.nearest(which, vector, limit, ef)
            documents = self._visible(found)
            if len(documents.rows) >= min(self._wanted, self._matched):
                similarities = query.similarities(documents.vectors, documents.norms)
                unseen = self._unseen(query, found) if len(found.rows) >= limit else -math.inf
                if unseen == -math.inf and len(documents.rows) < self._matched:
                    unseen = float(similarities.min())
                plan = f"postgres: index, ef {ef}, limit {limit}: {text}"
                return _Scored(documents, similarities, unseen, False, plan)
            which = self._which
        return None

    def _proved(self, query: Query) -> _Scored:
        """What a look at every row finds: at least the k best, and all that are shown as equal to the last."""
        vector, limit = VectorValue(vector_bytes(query.vector)), self._wanted + _SPARE
        while True:
            found, text = self._table.nearest(self._which, vector, limit, None)
            similarities = query.similarities(found.vectors, found.norms)
            unseen = self._unseen(query, found) if len(found.rows) >= limit else -math.inf
            if unseen == -math.inf or self._certain(similarities) > unseen:
                plan = f"postgres: all of {self._matched} rows, limit {limit}: {text}"
                return _Scored(found, similarities, unseen, True, plan)
            limit *= 4

    def _certain(self, similarities: Similarities) -> float:
        k = self._request.k
        if len(similarities) < k:
            return -math.inf
        kth = float(np.partition(similarities, -k)[-k])
        return shown_alike_from(kth, self._table.metric)

    def _all(self, query: Query) -> _Scored:
        """Every row, read and scored here: what PostgreSQL calls near may not be."""
        rows = self._table.row_numbers(self._which)
        best, scores = taken(self._table.read([]), NO_ROWS), np.empty(0)
        unseen = -math.inf
        for at in range(0, len(rows), _READ_TOGETHER):
            best = joined(best, self._table.read(rows[at : at + _READ_TOGETHER].tolist()))
            scores = query.similarities(best.vectors, best.norms)
            if len(scores) > self._wanted:
                kept = np.flatnonzero(scores >= min(self._certain(scores), _nth(scores, self._wanted)))
                left = np.delete(scores, kept)
                unseen = max(unseen, float(left.max(initial=-math.inf)))
                best, scores = taken(best, kept), scores[kept]
        return _Scored(best, scores, unseen, True, f"postgres: {len(rows)} rows read and scored here")

    def _visible(self, found: Documents) -> Documents:
        """Those that are not hidden."""
        hidden = self._which.hidden
        if not hidden:
            return found
        kept = [at for at, row in enumerate(found.rows.tolist()) if row not in hidden]
        return found if len(kept) == len(found.rows) else taken(found, np.array(kept, np.int64))

    def _unseen(self, query: Query, found: Documents) -> float:
        """How similar a row can be at most that is as far away as the last one, as PostgreSQL sees it, or further."""
        distance, gamma = float(found.distances[-1]), (len(query.vector) + 16) * 2.0**-23
        if not math.isfinite(distance):
            return math.inf
        if self._table.metric is Metric.COSINE:
            return 1.0 - distance + 4 * gamma
        if self._table.metric is Metric.INNER_PRODUCT:
            return -distance + 2 * gamma * query.length * (self._entry.norm_max or 0.0) + 1e-30
        return -(max(0.0, distance * (1 - 2 * gamma) - 1e-15) ** 2)

    def _candidates(self, scored: _Scored) -> Candidates:
        similarities, k = scored.similarities, self._request.k
        best: npt.NDArray[np.bool_] = np.ones(len(similarities), np.bool_)
        if len(similarities) > k:
            best = similarities >= self._certain(similarities)
        rows = np.flatnonzero(best)
        over = np.flatnonzero(~best) if self._request.over_fetch else NO_ROWS
        unseen = scored.unseen
        if not self._request.over_fetch and len(rows) < len(similarities):
            unseen = max(unseen, float(similarities[~best].max()))
        return Candidates(
            rows,
            scored.documents.doc_ids[rows],
            similarities[rows],
            self._matched,
            self._matched if scored.exact else len(similarities),
            scored.exact,
            scored.plan,
            over,
            unseen,
            FetchedRows(scored.documents),
        )


def _nth(values: Similarities, n: int) -> float:
    return float(np.partition(values, -n)[-n])
