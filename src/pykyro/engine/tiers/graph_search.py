"""Searching a cold segment by its graph: walks, and scans of the codes in it.

What a graph reports of a row is only as good as its codes. So the best rows it reports are scored as they are, and
from the last of the k best follows what the graph could report of a row that belongs to the answer too: all that
are reported so are scored. When even the last one met is, the walk is repeated wider, and at last the rows are
scanned.
So a row is missing from an answer only if the walk did not come by it, never because of its code, and of rows that
are equally far those with the smallest ids are found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from pykyro.engine.tiers.tier import Candidates, TierRequest
from pykyro.index.vector import flat, planner
from pykyro.index.vector.coding import CodedQuery
from pykyro.index.vector.equal_rows import LISTED_MAX
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.model.distance import Query, Similarities, similarities_together
from pykyro.model.types import Bits, Matrix, Rows

_SCORED_EXTRA_MIN: Final = 6
_CODES_EXTRA_MIN: Final = 54
"""Rows a scan of codes takes more than are wanted, to prove that no other belongs to them."""
_ALL_EQUAL: Final = LISTED_MAX + 1
"""Where equal rows are ranked by text, none may be left out: when there are more, they are scanned."""


def scored_rows(k: int) -> int:
    """Rows a graph is asked for to be scored as they are: those after the k best make up for what codes put in the
    wrong order."""
    return k + max(_SCORED_EXTRA_MIN, k // 4)


@dataclass(frozen=True, slots=True)
class Matching:
    """The rows a search is about: those a filter matches, None being all; how many of them are alive; and, if the
    graph is to be asked, those as bits, see cold_segment.LiveRows.bits_of."""

    rows: FrozenBitMap | None
    count: int
    bits: Bits | None
    plan: str


@dataclass(frozen=True, slots=True)
class _Met:
    """Rows of one query that a walk or a scan of codes met and that count, nearest by report first.

    `last` is what was reported of the last point met, minus infinity when it met all there are. `points` is how many
    points the rows are of. `cut` says that of some equal rows not all are among them.
    """

    rows: Rows
    reported: npt.NDArray[np.float32]
    last: float
    points: int
    cut: bool


class GraphSearch:
    """Searches the graph of one segment. Any number of threads at once."""

    def __init__(
        self,
        graph: Graph,
        shape: Shape,
        rows: int,
        ids: npt.NDArray[np.uint64],
        vectors: Matrix,
        norms: npt.NDArray[np.float64],
    ) -> None:
        """Of each of the segment's `rows` its id, its vector of shape (dimension,) and its length."""
        self._graph = graph
        self._coding = shape.coding
        self._equal = shape.equal
        self._least_ef = shape.ef
        self._rows = rows
        self._points = rows if shape.equal is None else shape.equal.points
        self._ids = ids
        self._vectors = vectors
        self._norms = norms

    def search_many(self, request: TierRequest, among: Matching, ef: int) -> list[Candidates | Matching]:
        """What walks find for each query, repeated wider where one leaves the answer open; where even that does, what
        is to be scanned, with the plan so far."""
        answers: list[Candidates | Matching] = []
        for query, answer in zip(request.queries, self._walk(request, among, ef), strict=True):
            if isinstance(answer, Candidates):
                answers.append(answer)
            else:
                answers.append(self._search_again(replace(request, queries=[query]), among, answer))
        return answers

    def _search_again(
        self, request: TierRequest, among: Matching, plan: planner.Plan
    ) -> Candidates | Matching:
        """For the one query of the request: go on as planned, until there is an answer or a scan is planned."""
        while plan.kind == "graph":
            among = replace(among, plan=f"{among.plan}; {plan.reason}")
            (answer,) = self._walk(request, among, plan.ef)
            if isinstance(answer, Candidates):
                return answer
            plan = answer
        return replace(among, plan=f"{among.plan}; {plan.reason}")

    def _walk(self, request: TierRequest, among: Matching, ef: int) -> list[Candidates | planner.Plan]:
        """What the graph finds for each; for one whose walk leaves the answer open, how to go on."""
        graph, queries, matched = self._graph, request.queries, among.count
        wanted = request.k + (request.over_fetch or 0)
        coded = list(map(self._coding.coded, queries))
        ranked = min(matched, request.k + max(_SCORED_EXTRA_MIN, request.k // 4))  # scored_rows
        width = whole = min(graph.ntotal, max(ef, ranked + 1))
        if among.bits is None and self._equal is None:
            # One more than is used tells whether others matter; all that a walk met are seldom looked at.
            width = min(whole, max(ranked, wanted) + 1)
        found, reported = graph.search_many([one.vector for one in coded], width, ef)

        def looked_at_in_full(at: int) -> Candidates | planner.Plan:
            met, told = found[at], reported[at]
            if width < whole:
                ((met,), (told,)) = graph.search_many([coded[at].vector], whole, ef)
            return self._answer_of(request, at, coded[at], among, ef, met, told)

        in_full = [True] * len(queries)
        rows = found
        if among.bits is None and ranked < width and found[:, -1].min() >= 0:
            in_full = [False] * len(queries)
            if self._equal is not None:
                rows = self._equal.first_row.take(found)
                shared: npt.NDArray[np.bool_] = np.logical_or.reduce(
                    self._equal.is_shared.take(found), axis=1
                )
                in_full = shared.tolist()
        if all(in_full):
            return [looked_at_in_full(at) for at in range(len(queries))]
        best = rows[:, :ranked]
        similarities = similarities_together(queries, self._vectors.take(best, 0), self._norms.take(best))
        kth_place = max(0, ranked - request.k)
        kth = [sorted(of_query)[kth_place] for of_query in similarities.tolist()]
        doc_ids = self._ids.take(best)
        known = min(width, max(ranked, wanted))
        answers: list[Candidates | planner.Plan] = []
        for at, query in enumerate(queries):
            least = self._coding.least_reported(kth[at], query, coded[at], proved=False)
            if in_full[at] or not reported.item(at, ranked) < least:
                answers.append(looked_at_in_full(at))
                continue
            unseen_bound = math.inf
            if request.over_fetch is not None:
                unseen_bound = -math.inf
                if known < matched:
                    unseen_bound = self._coding.similarity_at_most(
                        reported.item(at, known - 1), query, coded[at]
                    )
            answers.append(
                Candidates(
                    best[at],
                    doc_ids[at],
                    similarities[at],
                    matched,
                    ef,
                    False,
                    among.plan,
                    rows[at, ranked:known],
                    unseen_bound,
                )
            )
        return answers

    def _answer_of(
        self,
        request: TierRequest,
        at: int,
        coded: CodedQuery,
        among: Matching,
        ef: int,
        found: Rows,
        reported: npt.NDArray[np.float32],
    ) -> Candidates | planner.Plan:
        """What a walk found for one query, looked at in full."""
        query, matched = request.queries[at], among.count
        most = _ALL_EQUAL if request.text_ids else scored_rows(request.k)
        met = self._met(found, reported, among.bits, most)
        if met is None:
            return planner.Plan("scan", 0, f"too many equal rows: scan {matched} rows")
        if among.bits is not None and met.last > -math.inf:
            wanted = max(min(matched, scored_rows(request.k)), self._wanted(request, among))
            wanted = min(wanted, matched)
            if met.points < wanted and len(met.rows) < matched:
                return planner.choose_again(wanted=wanted, met=met.points, ef=ef, matched=matched)
        scored = self._scored(request, query, coded, met, matched, proved=False)
        if scored is None:
            return planner.choose_wider(ef=ef, matched=matched)
        similarities = scored
        count, known = (
            len(similarities),
            min(len(met.rows), max(len(similarities), request.k + (request.over_fetch or 0))),
        )
        unseen_bound = math.inf
        if request.over_fetch is not None and not met.cut:
            last = met.last if known == len(met.rows) else float(met.reported[known - 1])
            unseen_bound = -math.inf
            if last > -math.inf and known < matched:
                unseen_bound = self._coding.similarity_at_most(last, query, coded)
        rows = met.rows[:count]
        return Candidates(
            rows,
            self._ids.take(rows),
            similarities,
            matched,
            ef,
            False,
            among.plan,
            met.rows[count:known],
            unseen_bound,
        )

    def _scored(
        self, request: TierRequest, query: Query, coded: CodedQuery, met: _Met, matched: int, *, proved: bool
    ) -> Similarities | None:
        """Similarities of the first of the rows met, as many as may belong to the answer; None when rows that
        were not met may, too."""
        wanted = min(matched, request.k + (request.over_fetch or 0) if proved else request.k)
        count = min(len(met.rows), wanted if proved else scored_rows(request.k))
        similarities = self._similarities(query, met.rows[:count])
        least = -math.inf
        if count >= wanted:
            kth = float(np.partition(similarities, -wanted)[-wanted])
            least = self._coding.least_reported(kth, query, coded, proved=proved)
        if met.last > -math.inf and not met.last < least:
            return None
        needed = int(np.count_nonzero(~(met.reported < least)))
        if needed > count:
            more = self._similarities(query, met.rows[count:needed])
            similarities = np.concatenate([similarities, more])
        return similarities

    def _met(
        self, found: Rows, reported: npt.NDArray[np.float32], bits: Bits | None, most: int
    ) -> _Met | None:
        """The rows of the points found that count, of equal ones no more than `most`; None when there are too many to
        look through."""
        count = len(found)
        if count and found[-1] < 0:
            count = int(np.count_nonzero(found >= 0))
            found, reported = found[:count], reported[:count]
            last = -math.inf  # everything in reach was met
        else:
            last = float(reported[-1]) if count and count < self._points else -math.inf
        if self._equal is not None:
            expanded = self._equal.expanded(found, bits, most)
            if expanded is None:
                return None
            rows, of, cut = expanded
            return _Met(rows, reported[of], last, len(np.unique(of)), cut)
        if bits is None:
            return _Met(found, reported, last, count, cut=False)
        hit = np.flatnonzero((bits[found >> 3] >> (found & 7).astype(np.uint8)) & 1)
        return _Met(found[hit], reported[hit], last, len(hit), cut=False)

    def _similarities(self, query: Query, rows: Rows) -> Similarities:
        return query.similarities(self._vectors.take(rows, 0), self._norms.take(rows))

    def _wanted(self, request: TierRequest, among: Matching) -> int:
        return planner.wanted_rows(
            rows=self._rows,
            k=request.k,
            ef=request.ef,
            filtered=among.rows is not None,
            least_ef=self._least_ef,
        )

    def scan(self, request: TierRequest, query: Query, among: Matching) -> Candidates | None:
        """What a scan of the codes of all live rows that match finds; None when their errors leave the answer open.

        More rows than wanted are taken and scored as they are. The answer is proved when even the largest error of
        a code could not lift any other row to the last of those wanted.
        """
        coded = self._coding.coded(query)
        if not coded.comparable:
            return None
        bits, matched, wanted = among.bits, among.count, request.k + (request.over_fetch or 0)
        selected = bits
        if bits is not None and self._equal is not None:
            selected = self._equal.points_of(bits)
        taken = min(self._points, wanted + max(wanted, _CODES_EXTRA_MIN))
        found, reported = self._graph.scan(coded.vector, taken, selected, matched)
        met = self._met(found, reported, bits, _ALL_EQUAL if request.text_ids else wanted + 1)
        if met is None:
            return None
        if len(found) < taken:  # these are all there are
            met = replace(met, last=-math.inf)
        similarities = self._scored(request, query, coded, met, matched, proved=True)
        if (
            similarities is None
            or len(similarities) < min(wanted, matched)
            or (met.cut and request.over_fetch is not None)
        ):
            return None
        best = flat.keep_best(
            met.rows[: len(similarities)], similarities, request.k, request.over_fetch, matched, query.metric
        )
        return Candidates(
            best.rows,
            self._ids.take(best.rows),
            best.similarities,
            matched,
            matched,
            True,
            among.plan,
            best.over_fetched,
            best.unseen_bound,
        )
