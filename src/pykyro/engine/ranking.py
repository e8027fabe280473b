"""From what the tiers found to an answer: merged, ranked, cut to k, and fetched what the request wants to see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.tier import Candidates, SearchTier
from pykyro.model import distance
from pykyro.model.requests import Hit, SearchRequest, SearchResult, Tier
from pykyro.model.types import LSN, Metric, Rows

Found: TypeAlias = Sequence[tuple[SearchTier, Candidates]]
_AnyRows: TypeAlias = npt.NDArray[np.int64]
_ONLY: Final = {kind: frozenset({kind}) for kind in Tier}


class Ranked(NamedTuple):
    """An answer, what the tiers found for it, and the similarity of the k-th best: minus infinity when there are
    fewer."""

    result: SearchResult
    found: Found
    kth: float


def rank(request: SearchRequest, found: Found, position: LSN, metric: Metric) -> Ranked:
    """The answer to `request`, given the candidates of every tier, oldest first, at `position`."""
    result = SearchResult(hits=[], total_found=0, position=position, exact_asked=request.exact)
    parts = []
    for tier, candidates in found:
        result.matched += candidates.matched
        if candidates.examined:
            result.exact = result.exact and candidates.exact
            result.examined += candidates.examined
            result.tiers |= _ONLY[tier.kind]
            result.plan += f"; {candidates.plan}" if result.plan else candidates.plan
            if len(candidates.rows):
                parts.append((tier, candidates))
    kth = _hits(request, parts, metric, result) if parts else -math.inf
    return Ranked(result, found, kth)


def _hits(request: SearchRequest, parts: Found, metric: Metric, result: SearchResult) -> float:
    """Fills in the hits; returns the similarity of the k-th best."""
    owners, rows, doc_ids, similarities = _side_by_side([candidates for _, candidates in parts])
    if owners is not None or parts[0][0].kind is Tier.HOT:  # a segment alone holds no document twice
        newest = _newest(doc_ids)
        if newest is not None:
            owners = None if owners is None else owners[newest]
            rows, doc_ids, similarities = rows[newest], doc_ids[newest], similarities[newest]
    order, shown = distance.best(similarities, doc_ids, metric)
    count = result.total_found = len(order)
    if request.min_score > 0:
        # Scores fall with the similarity, so those that pass stand in front.
        passing = shown >= np.float32(request.min_score)
        result.total_found = int(np.count_nonzero(passing))
    kth = similarities.item(order.item(request.k - 1)) if request.k <= count else -math.inf
    best = order[: min(request.k, result.total_found)]
    scores = shown[best].tolist()
    result.hits = list(map(Hit, doc_ids[best].tolist(), scores))
    if owners is None:
        _hydrate(result.hits, rows[best].tolist(), parts[0][0], request)
    else:
        for number, (tier, _) in enumerate(parts):
            places = np.flatnonzero(owners[best] == number)
            of_tier = [result.hits[place] for place in places.tolist()]
            _hydrate(of_tier, rows[best[places]].tolist(), tier, request)
    return kth


def _side_by_side(
    parts: Sequence[Candidates],
) -> tuple[_AnyRows | None, Rows, npt.NDArray[np.uint64], distance.Similarities]:
    """Candidates of all tiers: number of the tier (None with only one), row, doc_id, similarity."""
    if len(parts) == 1:
        (only,) = parts
        return None, only.rows, only.doc_ids, only.similarities
    return (
        np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.doc_ids for part in parts]),
        np.concatenate([part.similarities for part in parts]),
    )


def _newest(doc_ids: npt.NDArray[np.uint64]) -> _AnyRows | None:
    """Where the newest row of each document stands, which is the last; None when no document is there twice."""
    ids = doc_ids.tolist()
    if len(set(ids)) == len(ids):
        return None
    newest = {doc_id: at for at, doc_id in enumerate(ids)}
    return np.fromiter(newest.values(), dtype=np.int64, count=len(newest))


def _hydrate(hits: Sequence[Hit], rows: Sequence[int], tier: SearchTier, request: SearchRequest) -> None:
    """Fetch what the request wants to see of hits of one tier."""
    if request.include_metadata:
        for hit, wire in zip(hits, tier.public_metadata(rows), strict=True):
            hit.metadata_wire = wire
    if request.include_vectors:
        for hit, row in zip(hits, rows, strict=True):
            hit.vector = tier.vector(row)
