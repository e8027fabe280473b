"""Searching one cold segment: the plan, a walk through its graph, or a scan of the rows that match.

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

from pykyro.engine.tiers.live_rows import LiveRows
from pykyro.engine.tiers.tier import Candidates, TierQuery, no_candidates, scanned, scored_rows
from pykyro.index.vector import flat, planner
from pykyro.index.vector.coding import Asked
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.model.distance import Question, Similarities, similarities_together
from pykyro.model.types import Bits, Matrix, Metric, Rows

_CODES_SHARE_MIN: Final = 0.03
"""Share of rows that match from which on a scan reads the codes, which looks at the bit of every row."""
_CODES_BEYOND_MIN: Final = 54
"""Rows such a scan takes beyond those wanted, to prove that no other belongs to them."""


@dataclass(frozen=True, slots=True)
class _Matching:
    """The rows a search is about: those a filter matches, None being all; how many of them are alive; and, if the
    graph is to be asked, those as bits, see LiveRows.bits_of."""

    rows: FrozenBitMap | None
    count: int
    bits: Bits | None
    plan: str


@dataclass(frozen=True, slots=True)
class _Met:
    """Rows of one question that a walk or a scan of codes met and that count, nearest by report first.

    `last` is what was reported of the last point met, minus infinity when it met all there are. `points` is how many
    points the rows are of. `cut` says that of some equal rows not all are among them.
    """

    rows: Rows
    reported: npt.NDArray[np.float32]
    last: float
    points: int
    cut: bool


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
        metric: Metric,
        live: LiveRows,
    ) -> None:
        """Of each row its id, its vector of shape (dimension,) and its length; `number` is the segment's. A graph
        has a `shape`."""
        self._number = number
        self._ids = ids
        self._vectors = vectors
        self._norms = norms
        self._graph = graph
        self._shape = shape
        self._least_ef = None if shape is None else shape.ef
        self._equal = None if shape is None else shape.equal
        self._metric = metric
        self._live = live

    def search_many(self, query: TierQuery, matching: FrozenBitMap | None) -> list[Candidates]:
        """What is found for each question among the rows `matching`, None being all."""
        matched = self._live.among(matching)
        plan = planner.choose(
            rows=self._live.count,
            matched=matched,
            k=query.k,
            ef=query.ef,
            filtered=matching is not None,
            has_graph=self._graph is not None,
            exact=query.exact,
            least_ef=self._least_ef,
        )
        asks_graph = plan.kind == "graph" or self._scans_codes(matched)
        bits = self._live.bits_of(matching) if asks_graph else None
        among = _Matching(matching, matched, bits, f"cold {self._number}: {plan.reason}")
        if plan.kind == "graph":
            return self._walk_or_scan(query, among, plan.ef)
        if plan.kind == "scan":
            return [self._scan(query, question, among) for question in query.questions]
        return [no_candidates(among.plan)] * len(query.questions)

    # --- walks ------------------------------------------------------------------------------------

    def _walk_or_scan(self, query: TierQuery, among: _Matching, ef: int) -> list[Candidates]:
        """What the graph finds; for questions whose answer its walk leaves open, what a wider one or a scan finds."""
        return [
            self._search_again(replace(query, questions=[question]), among, answer)
            if isinstance(answer, planner.Plan)
            else answer
            for question, answer in zip(query.questions, self._walk(query, among, ef), strict=True)
        ]

    def _search_again(self, query: TierQuery, among: _Matching, plan: planner.Plan) -> Candidates:
        """For the one question of the query: go on as planned, until there is an answer."""
        while plan.kind == "graph":
            among = replace(among, plan=f"{among.plan}; {plan.reason}")
            (answer,) = self._walk(query, among, plan.ef)
            if not isinstance(answer, planner.Plan):
                return answer
            plan = answer
        among = replace(among, plan=f"{among.plan}; {plan.reason}")
        return self._scan(query, query.questions[0], among)

    def _walk(self, query: TierQuery, among: _Matching, ef: int) -> list[Candidates | planner.Plan]:
        """What the graph finds for each; for one whose walk leaves the answer open, how to go on."""
        graph, shape, questions, matched = self._graph, self._shape, query.questions, among.count
        assert graph is not None
        assert shape is not None
        asked = [shape.coding.asked(question) for question in questions]
        ranked = min(matched, scored_rows(query.k))
        width = whole = min(graph.ntotal, max(ef, ranked + 1))
        if among.bits is None and self._equal is None:
            # One more than is used tells whether others matter; all that a walk met are seldom looked at.
            width = min(whole, max(ranked, query.wanted) + 1)
        found, reported = graph.search_many([one.vector for one in asked], width, ef)

        def looked_at_in_full(at: int) -> Candidates | planner.Plan:
            met, told = found[at], reported[at]
            if width < whole:
                ((met,), (told,)) = graph.search_many([asked[at].vector], whole, ef)
            return self._answer_of(query, at, asked[at], among, ef, met, told)

        in_full = [True] * len(questions)
        rows = found
        if among.bits is None and ranked < width and found[:, -1].min() >= 0:
            in_full = [False] * len(questions)
            if self._equal is not None:
                rows = self._equal.first_row.take(found)
                shared: npt.NDArray[np.bool_] = np.logical_or.reduce(
                    self._equal.is_shared.take(found), axis=1
                )
                in_full = shared.tolist()
        if all(in_full):
            return [looked_at_in_full(at) for at in range(len(questions))]
        best = rows[:, :ranked]
        similarities = similarities_together(questions, self._vectors.take(best, 0), self._norms.take(best))
        kth_place = max(0, ranked - query.k)
        kth = [sorted(of_question)[kth_place] for of_question in similarities.tolist()]
        doc_ids = self._ids.take(best)
        known = min(width, max(ranked, query.wanted))
        answers: list[Candidates | planner.Plan] = []
        for at, question in enumerate(questions):
            least = shape.coding.least_reported(kth[at], question, asked[at], proved=False)
            if in_full[at] or not reported.item(at, ranked) < least:
                answers.append(looked_at_in_full(at))
                continue
            beyond = math.inf
            if query.spare is not None:
                beyond = self._beyond(question, asked[at], reported.item(at, known - 1), known >= matched)
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
                    beyond,
                )
            )
        return answers

    def _answer_of(
        self,
        query: TierQuery,
        at: int,
        asked: Asked,
        among: _Matching,
        ef: int,
        found: Rows,
        reported: npt.NDArray[np.float32],
    ) -> Candidates | planner.Plan:
        """What a walk found for one question, looked at in full."""
        question, matched = query.questions[at], among.count
        met = self._met(found, reported, among.bits, scored_rows(query.k))
        if met is None:
            return planner.Plan("scan", 0, f"too many equal rows: scan {matched} rows")
        if among.bits is not None and met.last > -math.inf:
            wanted = max(min(matched, scored_rows(query.k)), self._wanted(query, among))
            wanted = min(wanted, matched)
            if met.points < wanted and len(met.rows) < matched:
                return planner.choose_again(wanted=wanted, met=met.points, ef=ef, matched=matched)
        scored = self._scored(query, question, asked, met, matched, proved=False)
        if scored is None:
            return planner.choose_wider(ef=ef, matched=matched)
        similarities = scored
        count, known = len(similarities), min(len(met.rows), max(len(similarities), query.wanted))
        beyond = math.inf
        if query.spare is not None and not met.cut:
            last = met.last if known == len(met.rows) else float(met.reported[known - 1])
            beyond = -math.inf if last == -math.inf else self._beyond(question, asked, last, known >= matched)
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
            beyond,
        )

    def _scored(
        self, query: TierQuery, question: Question, asked: Asked, met: _Met, matched: int, *, proved: bool
    ) -> Similarities | None:
        """Similarities of the first of the rows met, as many as may belong to the answer; None when rows that
        were not met may, too."""
        assert self._shape is not None
        wanted = min(matched, query.wanted if proved else query.k)
        count = min(len(met.rows), wanted if proved else scored_rows(query.k))
        similarities = self._similarities(question, met.rows[:count])
        least = -math.inf
        if count >= wanted:
            kth = float(np.partition(similarities, -wanted)[-wanted])
            least = self._shape.coding.least_reported(kth, question, asked, proved=proved)
        if met.last > -math.inf and not met.last < least:
            return None
        needed = int(np.count_nonzero(~(met.reported < least)))
        if needed > count:
            more = self._similarities(question, met.rows[count:needed])
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

    @property
    def _points(self) -> int:
        return self._live.count if self._equal is None else self._equal.points

    def _similarities(self, question: Question, rows: Rows) -> Similarities:
        return question.similarities(self._vectors.take(rows, 0), self._norms.take(rows))

    def _wanted(self, query: TierQuery, among: _Matching) -> int:
        return planner.wanted_rows(
            rows=self._live.count,
            k=query.k,
            ef=query.ef,
            filtered=among.rows is not None,
            least_ef=self._least_ef,
        )

    def _beyond(self, question: Question, asked: Asked, last: float, everything: bool) -> float:
        """`Candidates.beyond` of a search whose last row was reported so; it may have met `everything`."""
        if everything:
            return -math.inf
        assert self._shape is not None
        return self._shape.coding.similarity_at_most(last, question, asked)

    # --- scans ------------------------------------------------------------------------------------

    def _scan(self, query: TierQuery, question: Question, among: _Matching) -> Candidates:
        """What looking at every live row that matches finds."""
        if self._scans_codes(among.count):
            proved = self._scan_codes(query, question, among)
            if proved is not None:
                return proved
        found = flat.scan(
            self._vectors,
            question.vector,
            self._metric,
            query.wanted,
            norms=self._norms,
            selected=self._live.rows_of(among.rows),
        )
        similarities = question.similarities(self._vectors[found], self._norms[found])
        return scanned(query, found, self._ids[found], similarities, among.count, among.plan)

    def _scans_codes(self, matched: int) -> bool:
        return self._graph is not None and matched >= _CODES_SHARE_MIN * self._live.count

    def _scan_codes(self, query: TierQuery, question: Question, among: _Matching) -> Candidates | None:
        """`_scan`, looking at the codes in the graph; None when their errors leave the answer open.

        More rows than wanted are taken and scored as they are. The answer is proved when even the largest error of
        a code could not lift any other row to the last of those wanted.
        """
        graph, shape = self._graph, self._shape
        assert graph is not None
        assert shape is not None
        asked = shape.coding.asked(question)
        if not asked.comparable:
            return None
        bits, matched, wanted = among.bits, among.count, query.wanted
        selected = bits
        if bits is not None and self._equal is not None:
            selected = self._equal.points_of(bits)
        taken = min(self._points, wanted + max(wanted, _CODES_BEYOND_MIN))
        found, reported = graph.scan(asked.vector, taken, selected, matched)
        met = self._met(found, reported, bits, wanted + 1)
        if met is None:
            return None
        if len(found) < taken:  # these are all there are
            met = replace(met, last=-math.inf)
        similarities = self._scored(query, question, asked, met, matched, proved=True)
        if (
            similarities is None
            or len(similarities) < min(wanted, matched)
            or (met.cut and query.spare is not None)
        ):
            return None
        rows = met.rows[: len(similarities)]
        return scanned(query, rows, self._ids.take(rows), similarities, matched, among.plan)
