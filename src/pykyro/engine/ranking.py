"""From what the tiers found to an answer: merged, ranked, cut to k, and fetched what is to be shown.

Rows of equal scores are in the order of their ids. Where ids are text, rows are told apart by keys, whose order says
nothing: there the texts are read where scores are equal, and only there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.search_answers import Candidacy, Ranked, RoomForAnswer
from pykyro.engine.tiers.tier import RowSource
from pykyro.model import distance
from pykyro.model.metadata_wire import text_id_alone, text_id_in
from pykyro.model.requests import ScoredDocument, SearchRequest, SearchResult, Tier
from pykyro.model.types import LSN, Metric, Rows

_SMALL_ANSWER_BYTES: Final = 64 << 10
"""Nobody is asked whether there is room for so small an answer."""
_ONLY: Final = {kind: frozenset({kind}) for kind in Tier}


def rank(
    request: SearchRequest,
    found: Candidacy,
    position: LSN,
    metric: Metric,
    room_for_answer: RoomForAnswer,
    *,
    text_ids: bool = False,
) -> Ranked:
    """The answer to `request`, given the candidates of every tier, oldest first, at `position`. Raises
    ResourceExhausted when there is no room for it."""
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
    if not parts:
        return Ranked(result, found, -math.inf)
    oldest, only = parts[0]
    owners, rows, doc_ids, similarities = None, only.rows, only.doc_ids, only.similarities
    if len(parts) > 1 or oldest.kind is Tier.HOT:  # a segment alone holds no document twice
        owners, rows, doc_ids, similarities = _newest_side_by_side(parts)
    k = request.k
    order, shown = distance.best(similarities, doc_ids, metric, k)
    scores = shown[order[: k + 1]].tolist()
    if text_ids and len(set(scores)) < len(scores):
        numbers, twice = _numbers_by_text(parts, owners, rows, shown, order, k)
        order, shown = distance.best(similarities, numbers, metric, k)
        if twice:
            order = order[~np.isin(order, twice)]
        scores = shown[order[: k + 1]].tolist()
    count = len(order)
    kth = similarities.item(order.item(k - 1)) if k <= count else -math.inf
    if request.min_score > 0:
        # Scores fall with the similarity, so those that pass stand in front.
        count = int(np.count_nonzero(shown >= np.float32(request.min_score)))
    result.total_found = count
    best = order[: min(k, count)]
    result.hits = list(map(ScoredDocument, doc_ids[best].tolist(), scores))
    rows_of_hits = rows[best].tolist()
    shares: list[tuple[RowSource, list[ScoredDocument], list[int]]] = []
    if owners is None or len(parts) == 1:
        shares.append((oldest, result.hits, rows_of_hits))
    else:
        owners_of_hits = owners[best].tolist()
        for number, (tier, _) in enumerate(parts):
            hits, rows_of_tier = [], []
            for hit, owner, row in zip(result.hits, owners_of_hits, rows_of_hits, strict=True):
                if owner == number:
                    hits.append(hit)
                    rows_of_tier.append(row)
            if hits:
                shares.append((tier, hits, rows_of_tier))
    size = 0
    for tier, hits, rows_of_tier in shares:
        if request.include_metadata or text_ids:
            size += tier.public_bytes(rows_of_tier)
        if request.include_vectors:
            size += len(hits) * request.vector.nbytes
    if size > _SMALL_ANSWER_BYTES:
        result.held = room_for_answer(size, len(result.hits))
    for tier, hits, rows_of_tier in shares:
        hydrate(hits, rows_of_tier, tier, request, text_ids=text_ids)
    return Ranked(result, found, kth)


def _newest_side_by_side(
    parts: Candidacy,
) -> tuple[npt.NDArray[np.int64], Rows, npt.NDArray[np.uint64], distance.Similarities]:
    """Candidates of all tiers: number of the tier, row, doc_id, similarity. Of a document that is there twice the
    newest row, which is the last."""
    sizes, of_rows, of_ids, of_similarities = [], [], [], []
    for _, part in parts:
        sizes.append(len(part.rows))
        of_rows.append(part.rows)
        of_ids.append(part.doc_ids)
        of_similarities.append(part.similarities)
    owners = np.repeat(np.arange(len(parts)), sizes)
    rows, doc_ids, similarities = of_rows[0], of_ids[0], of_similarities[0]
    if len(parts) > 1:
        rows, doc_ids = np.concatenate(of_rows), np.concatenate(of_ids)
        similarities = np.concatenate(of_similarities)
    newest = dict(zip(doc_ids.tolist(), range(len(doc_ids))))
    if len(newest) < len(doc_ids):
        last = np.fromiter(newest.values(), dtype=np.int64, count=len(newest))
        owners, rows, doc_ids, similarities = owners[last], rows[last], doc_ids[last], similarities[last]
    return owners, rows, doc_ids, similarities


def _numbers_by_text(
    parts: Candidacy,
    owners: npt.NDArray[np.int64] | None,
    rows: Rows,
    shown: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    k: int,
) -> tuple[npt.NDArray[np.uint64], list[int]]:
    """A number for each row that may be among the first `k`, in the order of their text ids, 0 for the others; and
    the places of rows whose text has another: a document that moves within its chain is met twice."""
    last = shown[order[min(k, len(order)) - 1]]
    places = np.flatnonzero(shown >= last)
    texts = [""] * len(places)
    for number, (tier, _) in enumerate(parts):
        here = np.flatnonzero(owners[places] == number) if owners is not None else np.arange(len(places))
        wires = tier.public_metadata(rows[places[here]].tolist())
        for at, wire in zip(here.tolist(), wires, strict=True):
            texts[at] = text_id_in(wire)
    place_of = dict(zip(texts, places.tolist(), strict=True))
    twice: list[int] = []
    if len(place_of) < len(texts):
        twice = sorted(set(places.tolist()).difference(place_of.values()))
    return distance.numbers_by_text(texts, places, len(rows)), twice


def hydrate(
    hits: Sequence[ScoredDocument],
    rows: Sequence[int],
    tier: RowSource,
    request: SearchRequest,
    *,
    text_ids: bool,
) -> None:
    """Fetch what the request wants to see of hits of one tier, and their ids where these are text."""
    if request.include_metadata:
        for hit, wire in zip(hits, tier.public_metadata(rows), strict=True):
            hit.metadata_wire = wire
    elif text_ids:
        for hit, wire in zip(hits, tier.public_metadata(rows), strict=True):
            hit.metadata_wire = text_id_alone(wire)
    if request.include_positions:
        for hit, row in zip(hits, rows, strict=True):
            hit.position = tier.position_of(row)
    if request.include_vectors:
        for hit, row in zip(hits, rows, strict=True):
            hit.vector = tier.vector(row)
