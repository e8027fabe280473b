"""Searching one cold segment: the plan, then a walk through its graph or a scan of the rows that match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from pykyro.engine.tiers.graph_search import GraphSearch, Matching
from pykyro.engine.tiers.tier import Candidates, TierRequest, no_candidates
from pykyro.index.metadata.bitmaps import rows_of, to_bits
from pykyro.index.vector import flat, planner
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.model.distance import Query
from pykyro.model.types import Bits, Matrix

_CODES_ROWS_MIN: Final = 4096
"""Rows of a segment from which on a scan reads the codes first. Of 3,000 rows of 384 components a scan of the rows
themselves takes as long when the codes prove the answer (0.15 ms) and less when they do not (0.17 against 0.34)."""
_CODES_SHARE_MIN: Final = 0.03
"""Share of rows that match from which on a scan reads the codes, which looks at the bit of every row."""


class LiveRows:
    """Which rows of a segment are alive. Edited in place while searches read it."""

    __slots__ = ("bits", "count", "deleted")

    def __init__(self, count: int, deleted: BitMap) -> None:
        self.count = count
        self.deleted: BitMap = BitMap()
        self.bits: Bits = np.packbits(np.ones(count, dtype=np.bool_), bitorder="little")
        for row in deleted:
            self.delete(row)

    def delete(self, row: int) -> None:
        # Searches in flight read the bits; one byte changes at once or not at all.
        self.bits[row >> 3] &= np.uint8(0xFF ^ (1 << (row & 7)))
        self.deleted.add(row)

    def among(self, matching: FrozenBitMap | None) -> int:
        """How many of these rows, None being all, are alive."""
        if matching is None:
            return self.count - len(self.deleted)
        return len(matching) - (matching.intersection_cardinality(self.deleted) if self.deleted else 0)

    def bits_of(self, matching: FrozenBitMap | None) -> Bits | None:
        """These rows, None being all, without the deleted ones; None when every row is among them."""
        if matching is None:
            return self.bits if self.deleted else None
        selected = to_bits(matching, self.count)
        return np.bitwise_and(selected, self.bits, out=selected)

    def rows_of(self, matching: FrozenBitMap | None) -> npt.NDArray[np.integer] | None:
        """As `bits_of`, their numbers."""
        if matching is not None:
            return rows_of(matching - self.deleted if self.deleted else matching)
        if not self.deleted:
            return None
        return np.flatnonzero(np.unpackbits(self.bits, count=self.count, bitorder="little"))


class SegmentSearch:
    """Searches the rows of one segment. Any number of threads at once."""

    def __init__(
        self,
        number: int,
        ids: npt.NDArray[np.uint64],
        vectors: Matrix,
        norms: npt.NDArray[np.float64],
        graph: Graph | None,
        shape: Shape | None,
        live: LiveRows,
    ) -> None:
        """Of each row its id, its vector of shape (dimension,) and its length; `number` is the segment's. A graph
        has a `shape`."""
        self._number = number
        self._ids = ids
        self._vectors = np.asarray(vectors)  # sheds np.memmap, whose every slice costs microseconds
        self._norms = norms
        self._live = live
        self._least_ef = None if shape is None else shape.ef
        self._graph: GraphSearch | None = None
        if graph is not None and shape is not None:
            self._graph = GraphSearch(graph, shape, live.count, ids, self._vectors, norms)

    def search_many(self, request: TierRequest, matching: FrozenBitMap | None) -> list[Candidates]:
        """What is found for each query among the rows `matching`, None being all."""
        live, graph = self._live, self._graph
        matched = live.among(matching) if matching is not None else live.count - len(live.deleted)
        plan = planner.choose(
            rows=live.count,
            matched=matched,
            k=request.k,
            ef=request.ef,
            filtered=matching is not None,
            has_graph=graph is not None,
            exact=request.exact,
            least_ef=self._least_ef,
        )
        text = f"cold {self._number}: {plan.reason}"
        if plan.kind == "nothing":
            return [no_candidates(text)] * len(request.queries)
        reads_codes = (
            graph is not None and live.count >= _CODES_ROWS_MIN and matched >= _CODES_SHARE_MIN * live.count
        )
        bits = None
        if (plan.kind == "graph" or reads_codes) and (matching is not None or live.deleted):
            bits = live.bits_of(matching)
        among = Matching(matching, matched, bits, text)
        answers: list[Candidates] = []
        walked: Sequence[Candidates | Matching] = ()
        if plan.kind == "graph" and graph is not None:
            walked = graph.search_many(request, among, plan.ef)
        for number, query in enumerate(request.queries):
            found = walked[number] if walked else among
            if isinstance(found, Matching):
                found = self._scan(request, query, found, reads_codes)
            answers.append(found)
        return answers

    def _scan(self, request: TierRequest, query: Query, among: Matching, reads_codes: bool) -> Candidates:
        """What looking at every live row that matches finds."""
        if reads_codes and self._graph is not None:
            proved = self._graph.scan(request, query, among)
            if proved is not None:
                return proved
        selected = None
        if among.rows is not None or self._live.deleted:
            selected = self._live.rows_of(among.rows)
        wanted = request.k + (request.over_fetch or 0)
        found = flat.scan(self._vectors, query, wanted, norms=self._norms, selected=selected)
        similarities = query.similarities(self._vectors.take(found, 0), self._norms.take(found))
        best = flat.keep_best(found, similarities, request.k, request.over_fetch, among.count, query.metric)
        return Candidates(
            best.rows,
            self._ids.take(best.rows),
            best.similarities,
            among.count,
            among.count,
            True,
            among.plan,
            best.over_fetched,
            best.unseen_bound,
        )
