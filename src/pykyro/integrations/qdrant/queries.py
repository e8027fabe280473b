"""The calls that look for the nearest points."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import pykyro
from pykyro.integrations.qdrant.database import Points, check_bound, check_others
from pykyro.integrations.qdrant.errors import NotSupported, UnexpectedResponse, qdrant_errors
from pykyro.integrations.qdrant.filters import FilterDict, filter_dict, joined
from pykyro.integrations.qdrant.ids import document_id
from pykyro.integrations.qdrant.models import QueryResponse, Record, ScoredPoint
from pykyro.integrations.qdrant.points import checked_vector, shown_id, shown_payload, shown_vector
from pykyro.integrations.qdrant.reads import PointReads, by_id, by_value
from pykyro.integrations.qdrant.writes import stored

_K_MAX: Final = 1000
_OFFSET_MAX: Final = 1_000_000


class PointQueries(PointReads):
    """The queries of a client."""

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: Any = None,
        query_filter: Any = None,
        search_params: Any = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        lookup_from: Any = None,
        **others: Any,
    ) -> QueryResponse:
        """The points nearest to `query`: a vector, the id of a point (which is left out), a NearestQuery, a
        RecommendQuery of average vectors; by an OrderByQuery, or by id without a query, points in that order."""
        check_others("query_points", {**others, "prefetch": prefetch, "lookup_from": lookup_from})
        if using:
            raise NotSupported(
                f"query_points(using={using!r}): a point has one vector here, which has no name"
            )
        skipped = check_bound(0 if offset is None else offset, "offset", 0, _OFFSET_MAX)
        wanted = check_bound(limit, "limit", 1, _OFFSET_MAX) + skipped
        target = self._points(collection_name)
        criteria = filter_dict(query_filter)
        query = getattr(query, "nearest", query) if getattr(query, "mmr", None) is None else _no_mmr()
        with qdrant_errors(collection_name):
            if query is None or hasattr(query, "order_by"):
                records = (
                    by_id(target, criteria, None, wanted, with_payload, with_vectors)[0]
                    if query is None
                    else by_value(target, criteria, query.order_by, wanted, with_payload, with_vectors)
                )
                return QueryResponse(points=[_unscored(one) for one in records[skipped:]])
            vector, left_out = _vector_of(target, query)
            if left_out:
                criteria = joined([criteria, {"$not": {"__id__": {"$in": left_out}}}])
            answer = _search(target, vector, wanted, criteria, search_params, with_payload, with_vectors)
        points = _scored(target, vector, answer, with_payload, with_vectors)
        if score_threshold is not None:
            points = [one for one in points if _is_enough(target, one.score, score_threshold)]
        return QueryResponse(points=points[skipped:])

    def query_batch_points(
        self, collection_name: str, requests: Sequence[Any], **others: Any
    ) -> list[QueryResponse]:
        """`query_points` for each QueryRequest."""
        check_others("query_batch_points", others)
        return [
            self.query_points(
                collection_name,
                request.query,
                request.using,
                request.prefetch,
                request.filter,
                request.params,
                10 if request.limit is None else request.limit,
                request.offset,
                # Of a request the payload is not shown unless it is asked for.
                bool(request.with_payload) and request.with_payload,
                request.with_vector,
                request.score_threshold,
                request.lookup_from,
                shard_key_selector=request.shard_key,
            )
            for request in requests
        ]

    def search(
        self,
        collection_name: str,
        query_vector: Any,
        query_filter: Any = None,
        search_params: Any = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        **others: Any,
    ) -> list[ScoredPoint]:
        """`query_points` by the name and with the answer that it had before qdrant_client 1.16."""
        return self.query_points(
            collection_name,
            checked_vector(query_vector),
            query_filter=query_filter,
            search_params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vectors=with_vectors,
            score_threshold=score_threshold,
            **others,
        ).points


def _no_mmr() -> Any:
    raise NotSupported("NearestQuery(mmr=…): ask for more points, and choose among them in the program")


def _vector_of(target: Points, query: Any) -> tuple[Any, list[str]]:
    """The vector to search with, and the documents to leave out: those whose vectors it is made of."""
    if _is_id(query):
        own_id = document_id(query)
        return _vectors(target, [own_id])[0], [own_id]
    if hasattr(query, "recommend"):
        return _average(target, query.recommend)
    if any(hasattr(query, name) for name in ("fusion", "discover", "context", "sample", "formula", "rrf")):
        raise NotSupported(
            f"{type(query).__name__}: query by a vector, an id, NearestQuery, RecommendQuery or OrderByQuery; "
            "pykyro's own search fuses words and vectors (docs/words.md)"
        )
    return checked_vector(query), []


def _average(target: Points, given: Any) -> tuple[Any, list[str]]:
    # An enumeration or its value; as an attribute it would look like a setting of the same name being read.
    chosen = getattr(given, "strategy", None) or "average_vector"
    strategy = str(getattr(chosen, "value", chosen))
    if strategy != "average_vector":
        raise NotSupported(f"RecommendInput(strategy={strategy}): average_vector is the one that is here")
    if not given.positive:
        raise UnexpectedResponse(400, "Positive list is empty")
    positive, negative = list(given.positive), list(given.negative or ())
    ids = [document_id(one) for one in (*positive, *negative) if _is_id(one)]
    known = dict(zip(ids, _vectors(target, ids), strict=True))

    def mean(examples: list[Any]) -> Any:
        vectors = [known[document_id(one)] if _is_id(one) else checked_vector(one) for one in examples]
        return np.mean(np.stack(vectors), axis=0, dtype=np.float64)

    vector = mean(positive)
    if negative:
        vector = vector + vector - mean(negative)
    return vector.astype(np.float32), ids


def _is_id(given: Any) -> bool:
    return isinstance(given, (int, str, uuid.UUID))


def _vectors(target: Points, ids: list[str]) -> list[Any]:
    known = {one.id: one.vector for one in stored(target.collection, ids, with_vectors=True)}
    for own_id in ids:
        if own_id not in known:
            raise UnexpectedResponse(404, f"Point {own_id} is not found in the collection")
    return [known[own_id] for own_id in ids]


def _search(
    target: Points,
    vector: Any,
    wanted: int,
    criteria: FilterDict | None,
    params: Any,
    with_payload: Any,
    with_vectors: Any,
) -> pykyro.SearchAnswer:
    if wanted > _K_MAX:
        raise UnexpectedResponse(
            400,
            f"limit and offset must be {_K_MAX} at most together, got {wanted}: go through more by scroll",
        )
    return target.collection.search(
        vector,
        wanted,
        filter=criteria,
        ef_search=getattr(params, "hnsw_ef", None) or 0,
        exact=bool(getattr(params, "exact", None)),
        include_vectors=bool(with_vectors) or target.distance == "euclidean",
        include_metadata=with_payload not in (False, None),
    )


def _scored(
    target: Points, vector: Any, answer: pykyro.SearchAnswer, with_payload: Any, with_vectors: Any
) -> list[ScoredPoint]:
    """The points of an answer. Scores are Qdrant's: the cosine, the product, or the distance itself."""
    points: list[ScoredPoint] = []
    asked = np.asarray(vector, dtype=np.float64)
    for hit in answer:
        score = hit.score
        if target.distance == "euclidean":
            score = float(np.linalg.norm(asked - np.asarray(hit.vector, dtype=np.float64)))
        points.append(
            ScoredPoint(
                id=shown_id(hit),
                score=score,
                payload=shown_payload(hit.metadata, with_payload),
                vector=shown_vector(hit.vector) if with_vectors else None,
            )
        )
    return points


def _is_enough(target: Points, score: float, threshold: float) -> bool:
    return score <= threshold if target.distance == "euclidean" else score >= threshold


def _unscored(one: Record) -> ScoredPoint:
    return ScoredPoint(
        id=one.id, score=1.0, payload=one.payload, vector=one.vector, order_value=one.order_value
    )
