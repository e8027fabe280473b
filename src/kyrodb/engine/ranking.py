"""From what the tiers found to answers: merged, ranked, cut to k, and fetched what the request wants to see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from kyrodb import distance
from kyrodb.engine.requests import Hit, SearchRequest, SearchResult, Tier
from kyrodb.engine.tier import Candidates, SearchTier
from kyrodb.engine.tier_search import ByTier
from kyrodb.types import LSN, Metric

Found: TypeAlias = Sequence[tuple[SearchTier, Candidates]]
_Integers: TypeAlias = npt.NDArray[np.integer]
_ONLY: Final = {kind: frozenset({kind}) for kind in Tier}


class Ranked(NamedTuple):
    """An answer, what the tiers found for it, and the similarity of the k-th best: minus infinity when there are
    fewer."""

    result: SearchResult
    found: Found
    kth: float


class _Lines(NamedTuple):
    """Candidates of several tiers side by side, a line for each question: all of shape (questions, n).

    `owners` are the places of their tiers, None with only one tier.
    """

    owners: _Integers | None
    rows: _Integers
    doc_ids: npt.NDArray[np.uint64]
    similarities: distance.Similarities

    def of(self, places: _Integers) -> _Lines:
        """Those at these places in each line, where there is only one."""
        owners = None if self.owners is None else self.owners[:, places]
        return _Lines(owners, self.rows[:, places], self.doc_ids[:, places], self.similarities[:, places])


def rank(request: SearchRequest, by_tier: ByTier, position: LSN, metric: Metric) -> list[Ranked]:
    """The answers at `position` to questions that differ from `request` in their vectors only, given the candidates
    of every tier, oldest first."""
    count = len(by_tier[0][1])
    parts = [(tier, found) for tier, found in by_tier if any(len(one.rows) for one in found)]
    lines = _side_by_side(parts) if parts else None
    if parts and lines is None:
        alone = [[(tier, found[at : at + 1]) for tier, found in by_tier] for at in range(count)]
        return [answer for found in alone for answer in rank(request, found, position, metric)]
    each: list[Found] = [[(tier, found[at]) for tier, found in by_tier] for at in range(count)]
    results = [_without_hits(found, position) for found in each]
    kth = [-math.inf] * count
    if lines is not None:
        kth = _add_hits(results, request, [tier for tier, _ in parts], lines, metric)
    return list(map(Ranked, results, each, kth))


def _without_hits(found: Found, position: LSN) -> SearchResult:
    result = SearchResult(hits=[], total_found=0, position=position)
    for tier, candidates in found:
        result.matched += candidates.matched
        if candidates.examined:
            result.exact = result.exact and candidates.exact
            result.examined += candidates.examined
            result.tiers |= _ONLY[tier.kind]
            result.plan += f"; {candidates.plan}" if result.plan else candidates.plan
    return result


def _side_by_side(parts: ByTier) -> _Lines | None:
    """Candidates of every tier in lines; None for several questions whose lines would not be of one length."""
    columns: list[tuple[_Integers, npt.NDArray[np.uint64], distance.Similarities]] = []
    for _, found in parts:
        width = len(found[0].rows)
        if any(len(one.rows) != width for one in found):
            return None
        columns.append(
            (
                np.array([one.rows for one in found]),
                np.array([one.doc_ids for one in found]),
                np.array([one.similarities for one in found]),
            )
        )
    if len(columns) == 1:
        lines = _Lines(None, *columns[0])
        # A segment alone holds no document twice.
        return lines if parts[0][0].kind is Tier.COLD else _newest(lines)
    rows, doc_ids, similarities = (np.concatenate(part, axis=1) for part in zip(*columns, strict=True))
    owners = np.repeat(np.arange(len(parts)), [part[0].shape[1] for part in columns])
    return _newest(_Lines(np.broadcast_to(owners, rows.shape), rows, doc_ids, similarities))


def _newest(lines: _Lines) -> _Lines | None:
    """The newest row of each document, which is the last; None for several lines of which one has to be cut."""
    width = lines.doc_ids.shape[1]
    each: list[list[int]] = lines.doc_ids.tolist()
    if all(len(set(ids)) == width for ids in each):
        return lines
    if len(each) > 1:
        return None
    newest = {doc_id: at for at, doc_id in enumerate(each[0])}
    return lines.of(np.fromiter(newest.values(), dtype=np.int64, count=len(newest)))


def _add_hits(
    results: Sequence[SearchResult],
    request: SearchRequest,
    tiers: Sequence[SearchTier],
    lines: _Lines,
    metric: Metric,
) -> list[float]:
    """Put the hits of each line into its result; the similarity of the k-th best of each."""
    count, width = lines.doc_ids.shape
    k, number = request.k, np.arange(count)[:, np.newaxis]
    order = np.lexsort((lines.doc_ids, -lines.similarities))
    totals = [width] * count
    if request.min_score > 0:
        # Scores fall with the similarity, so those that pass stand in front.
        passing = distance.scores(lines.similarities, metric) >= request.min_score
        totals = np.count_nonzero(passing, axis=1).tolist()
    kth = lines.similarities[number[:, 0], order[:, k - 1]].tolist() if k <= width else [-math.inf] * count
    best = number, order[:, :k]
    doc_ids, rows = lines.doc_ids[best].tolist(), lines.rows[best].tolist()
    scores = distance.scores(lines.similarities[best], metric).tolist()
    owners = repeat(None) if lines.owners is None else lines.owners[best].tolist()
    for result, total, ids, reached, at, by in zip(results, totals, doc_ids, scores, rows, owners):
        result.total_found = total
        result.hits = list(map(Hit, ids[:total], reached[:total]))
        _hydrate(result.hits, at, by, tiers, request)
    return kth


def _hydrate(
    hits: Sequence[Hit],
    rows: Sequence[int],
    owners: Sequence[int] | None,
    tiers: Sequence[SearchTier],
    request: SearchRequest,
) -> None:
    """Fetch what the request wants to see of hits, the n-th of which is the n-th row, of the n-th owner."""
    if owners is None:
        _hydrate_of(tiers[0], hits, rows[: len(hits)], request)
        return
    for number, tier in enumerate(tiers):
        places = [place for place in range(len(hits)) if owners[place] == number]
        _hydrate_of(tier, [hits[place] for place in places], [rows[place] for place in places], request)


def _hydrate_of(tier: SearchTier, hits: Sequence[Hit], rows: Sequence[int], request: SearchRequest) -> None:
    if request.include_metadata:
        for hit, wire in zip(hits, tier.public_metadata(rows), strict=True):
            hit.metadata_wire = wire
    if request.include_vectors:
        for hit, row in zip(hits, rows, strict=True):
            hit.vector = tier.vector(row)
