"""Searching one cold segment: the plan, a walk through its graph, or a scan of the rows that match."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from kyrodb.distance import Question, similarities_together
from kyrodb.engine.tier import Candidates, TierQuery, no_candidates, scanned, scored_rows
from kyrodb.index import flat, planner
from kyrodb.index.bitmaps import rows_of, to_bits
from kyrodb.index.hnsw import Graph
from kyrodb.index.rounding import similarity_at_most
from kyrodb.types import Bits, Matrix, Metric

_CODES_SHARE_MIN: Final = 0.03
"""Share of rows that match from which on a scan reads the bfloat16 forms, which looks at the bit of every row."""
_CODES_BEYOND_MIN: Final = 54
"""Rows such a scan takes beyond those wanted, to prove that no other belongs to them."""


class LiveRows:
    """Which rows of a segment are alive. Edited in place while searches read it."""

    __slots__ = ("bits", "count", "dead")

    def __init__(self, count: int, dead: BitMap) -> None:
        self.count = count
        self.dead: BitMap = BitMap()
        self.bits: Bits = np.packbits(np.ones(count, dtype=np.bool_), bitorder="little")
        for row in dead:
            self.kill(row)

    def kill(self, row: int) -> None:
        # Searches in flight read the bits; one byte changes at once or not at all.
        self.bits[row >> 3] &= np.uint8(0xFF ^ (1 << (row & 7)))
        self.dead.add(row)

    def among(self, matching: FrozenBitMap | None) -> int:
        """How many of these rows, None being all, are alive."""
        if matching is None:
            return self.count - len(self.dead)
        return len(matching) - (matching.intersection_cardinality(self.dead) if self.dead else 0)

    def bits_of(self, matching: FrozenBitMap | None) -> Bits | None:
        """These rows, None being all, without the dead ones; None when every row is among them."""
        if matching is None:
            return self.bits if self.dead else None
        selected = to_bits(matching, self.count)
        return np.bitwise_and(selected, self.bits, out=selected)

    def rows_of(self, matching: FrozenBitMap | None) -> npt.NDArray[np.integer] | None:
        """As `bits_of`, their numbers."""
        if matching is not None:
            return rows_of(matching - self.dead if self.dead else matching)
        if not self.dead:
            return None
        return np.flatnonzero(np.unpackbits(self.bits, count=self.count, bitorder="little"))


@dataclass(frozen=True, slots=True)
class _Matching:
    """The rows a search is about: those a filter matches, None being all; how many of them are alive; and, if the
    graph is to be asked, those as bits, see LiveRows.bits_of."""

    rows: FrozenBitMap | None
    count: int
    bits: Bits | None
    plan: str


class SegmentSearch:
    """Searches the rows of one segment. Any number of threads at once."""

    def __init__(
        self,
        number: int,
        ids: npt.NDArray[np.uint64],
        vectors: Matrix,
        norms: npt.NDArray[np.float64],
        graph: Graph | None,
        metric: Metric,
        live: LiveRows,
    ) -> None:
        """Of each row its id, its vector of shape (dimension,) and its length; `number` is the segment's."""
        self._number = number
        self._ids = ids
        self._vectors = vectors
        self._norms = norms
        self._graph = graph
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
        )
        asks_graph = plan.kind == "graph" or self._scans_codes(matched)
        bits = self._live.bits_of(matching) if asks_graph else None
        among = _Matching(matching, matched, bits, f"cold {self._number}: {plan.reason}")
        if plan.kind == "graph":
            return self._walk_or_scan(query, among, plan.ef)
        if plan.kind == "scan":
            return [self._scan(query, question, among) for question in query.questions]
        return [no_candidates(among.plan)] * len(query.questions)

    def _walk_or_scan(self, query: TierQuery, among: _Matching, ef: int) -> list[Candidates]:
        """What the graph finds; for questions near which too few rows match, what a wider walk or a scan finds."""
        return [
            self._search_again(replace(query, questions=[question]), among, ef, answer)
            if isinstance(answer, int)
            else answer
            for question, answer in zip(query.questions, self._walk(query, among, ef), strict=True)
        ]

    def _search_again(self, query: TierQuery, among: _Matching, ef: int, met: int) -> Candidates:
        """For the one question of the query, after a walk with `ef` met so few rows that match."""
        plan = planner.choose_again(wanted=self._wanted(query, among), met=met, ef=ef, matched=among.count)
        among = replace(among, plan=f"{among.plan}; {plan.reason}")
        if plan.kind == "graph":
            (answer,) = self._walk(query, among, plan.ef)
            if not isinstance(answer, int):
                return answer
        return self._scan(query, query.questions[0], among)

    def _walk(self, query: TierQuery, among: _Matching, ef: int) -> list[Candidates | int]:
        """What the graph finds for each; for one whose walk does not meet enough rows that match, how many it met."""
        graph, questions, matched = self._graph, query.questions, among.count
        assert graph is not None
        ranked = min(matched, scored_rows(query.k))
        kept = min(matched, max(ranked, min(ef, query.wanted)))
        wanted, width = min(query.k, matched), kept
        if among.bits is not None:
            wanted = max(ranked, self._wanted(query, among))
            width = max(ef, ranked)
        found, reported = graph.search_many([one.indexed for one in questions], width, ef)
        counts = [width] * len(questions)
        if among.bits is not None:
            found, reported, counts = _selected_first(found, reported, among.bits)
        elif any(found.item(at, -1) < 0 for at in range(len(questions))):
            counts = np.count_nonzero(found >= 0, axis=1).tolist()
        if max(counts) < wanted:
            return [*counts]
        best = found[:, :ranked]
        if min(counts) < ranked:
            # Places where nothing was found hold row 0 for the arithmetic, and are cut off behind it.
            best = np.maximum(best, 0)
        similarities = similarities_together(questions, self._vectors.take(best, 0), self._norms.take(best))
        doc_ids = self._ids.take(best)
        answers: list[Candidates | int] = []
        for at, count in enumerate(counts):
            if count < wanted:
                answers.append(count)
                continue
            shown, known, beyond = min(ranked, count), min(kept, count), math.inf
            if query.spare is not None:
                last = float(reported[at, known - 1])
                beyond = self._beyond(questions[at], last, known, kept, matched)
            answers.append(
                Candidates(
                    best[at, :shown],
                    doc_ids[at, :shown],
                    similarities[at, :shown],
                    matched,
                    ef,
                    False,
                    among.plan,
                    found[at, ranked:known],
                    beyond,
                )
            )
        return answers

    def _wanted(self, query: TierQuery, among: _Matching) -> int:
        filtered = among.rows is not None
        return planner.wanted_rows(rows=self._live.count, k=query.k, ef=query.ef, filtered=filtered)

    def _beyond(self, question: Question, last: float, found: int, wanted: int, matched: int) -> float:
        """`Candidates.beyond` of a walk that found so many of the rows wanted, the last this similar."""
        if found >= matched:
            return -math.inf
        if found < wanted:
            return math.inf
        return similarity_at_most(
            last,
            self._metric,
            dimension=self._vectors.shape[1],
            query_length=question.length,
            longest_row=self._longest_row,
        )

    @cached_property
    def _longest_row(self) -> float:
        return 1.0 if self._metric is Metric.COSINE else float(self._norms.max())

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
        """`_scan`, looking at the bfloat16 forms in the graph; None when their errors leave the answer open.

        More rows than wanted are taken and scored as they are. The answer is proved when even the error of
        bfloat16 could not lift any other row to the last of those wanted.
        """
        assert self._graph is not None
        wanted, matched = query.wanted, among.count
        taken = min(matched, wanted + max(wanted, _CODES_BEYOND_MIN))
        found, reported = self._graph.scan(question.indexed, taken, among.bits, matched)
        if len(found) < taken:  # rows died meanwhile
            return None
        similarities = question.similarities(self._vectors.take(found, 0), self._norms.take(found))
        if taken < matched:
            others = self._beyond(question, float(reported[-1]), taken, taken, matched)
            if others >= np.partition(similarities, -wanted)[-wanted]:
                return None
        return scanned(query, found, self._ids.take(found), similarities, matched, among.plan)


def _selected_first(
    found: npt.NDArray[np.int64], reported: npt.NDArray[np.float32], selected: Bits
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], list[int]]:
    """Rows found and their similarities, both of shape (questions, n): those whose bit is set moved to the front of
    each line in their order, and how many they are."""
    hit = (selected[found >> 3] >> (found & 7).astype(np.uint8)) & 1
    hit[found < 0] = 0
    order = np.argsort(1 - hit, axis=1, kind="stable")
    counts: list[int] = hit.sum(axis=1).tolist()
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(reported, order, axis=1), counts
