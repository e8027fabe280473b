"""Ranking, held to what a plain loop over the candidates says; and queries made together, to those made alone."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from pykyro.engine.ranking import rank
from pykyro.engine.tiers.tier import NO_ROWS, Candidates
from pykyro.model import distance
from pykyro.model.requests import SearchRequest, Tier
from pykyro.model.types import Metric

_DOC_IDS = st.integers(1, 12)
_SIMILARITIES = st.sampled_from([-0.5, 0.0, 0.25, 0.25000001, 0.5, 0.75])


class _Tier:
    """Rows are doc_ids; what is fetched of one tells its tier."""

    def __init__(self, number: int, kind: Tier) -> None:
        self.number, self.kind = number, kind

    def public_metadata(self, rows: list[int]) -> list[bytes]:
        return [b"%d/%d" % (self.number, row) for row in rows]

    def public_bytes(self, rows: list[int]) -> int:
        return sum(map(len, self.public_metadata(rows)))

    def vector(self, row: int) -> Any:
        return np.array([self.number, row], np.float32)


def candidates(found: dict[int, float]) -> Candidates:
    ids = np.array([*found], np.uint64)
    similarities = np.array([*found.values()], np.float64)
    return Candidates(ids.astype(np.int64), ids, similarities, 50, len(found), False, "plan", NO_ROWS, 1.0)


def expected(by_tier: list[tuple[Any, Candidates]], request: SearchRequest) -> list[tuple[int, float, bytes]]:
    newest = {}
    for tier, found in by_tier:
        for doc_id, similarity in zip(found.doc_ids.tolist(), found.similarities.tolist(), strict=True):
            newest[doc_id] = (similarity, tier)
    best = sorted(newest.items(), key=lambda item: (-item[1][0], item[0]))
    within, beyond = best[: request.k], best[request.k :]
    best = [
        *sorted(within, key=lambda item: (-np.float32(item[1][0]), item[0])),
        *sorted(beyond, key=lambda item: (-np.float32(item[1][0]), item[0])),
    ]
    score = {doc_id: float(np.float32(similarity)) for doc_id, (similarity, _) in best}
    return [
        (doc_id, score[doc_id], b"%d/%d" % (tier.number, doc_id))
        for doc_id, (_, tier) in best
        if request.min_score <= 0 or np.float32(score[doc_id]) >= np.float32(request.min_score)
    ]


@st.composite
def finds(draw: st.DrawFn) -> list[tuple[Any, Candidates]]:
    """What each of some tiers found; a segment holds no document twice."""
    kinds = draw(st.sampled_from([[Tier.COLD], [Tier.HOT], [Tier.COLD, Tier.COLD, Tier.HOT]]))
    found = st.dictionaries(_DOC_IDS, _SIMILARITIES, max_size=8).map(candidates)
    return [(_Tier(number, kind), draw(found)) for number, kind in enumerate(kinds)]


@given(finds(), st.integers(1, 6), st.sampled_from([0.0, 0.25, 0.6]), st.booleans())
def test_candidates_are_ranked_as_a_loop_ranks_them(
    found: list[tuple[Any, Candidates]], k: int, min_score: float, include_vectors: bool
) -> None:
    request = SearchRequest(np.ones(2, np.float32), k, min_score=min_score, include_vectors=include_vectors)
    result, _, kth = rank(request, found, 7, Metric.INNER_PRODUCT, lambda size, count: None)
    wanted = expected(found, request)
    assert [(hit.doc_id, hit.score, hit.metadata_wire) for hit in result.hits] == wanted[:k]
    assert result.total_found == len(wanted)
    assert (result.position, result.matched) == (7, 50 * len(found))
    everything = expected(found, SearchRequest(request.vector, k))
    assert float(np.float32(kth)) == (everything[k - 1][1] if len(everything) >= k else -np.inf)
    for hit in result.hits:
        assert (hit.vector is not None) == include_vectors
        if hit.vector is not None:
            assert b"%d/%d" % tuple(hit.vector.astype(int).tolist()) == hit.metadata_wire


@given(
    st.integers(0, 9),
    st.sampled_from([1, 3, 40, 384, 1024, 3000]),
    st.sampled_from(list(Metric)),
    st.integers(0, 2**32 - 1),
)
def test_questions_made_together_are_those_made_alone(
    count: int, dimension: int, metric: Metric, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    together = distance.Query.each(list(vectors), metric)
    assert len(together) == count
    rows = vectors[::-1].copy()
    for query, vector in zip(together, vectors, strict=True):
        alone = distance.Query(vector, metric)
        assert query.length == alone.length
        assert query.vector.tobytes() == vector.tobytes()
        assert query.indexed.tobytes() == alone.indexed.tobytes()
        assert query.similarities(rows).tobytes() == alone.similarities(rows).tobytes()
