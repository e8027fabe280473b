"""Models of points: what is written, what is asked, what comes back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from pykyro.integrations.qdrant.model_filters import Filter
from pykyro.integrations.qdrant.model_values import (
    Direction,
    Given,
    Payload,
    PointId,
    RecommendStrategy,
    UpdateStatus,
    Vector,
)


class PointStruct(Given):
    """A point: id, vector, payload."""

    id: PointId
    vector: Vector
    payload: Payload | None = None


class Batch(Given):
    """Points as columns."""

    ids: list[PointId]
    vectors: Vector
    payloads: list[Payload | None] | None = None


class PointVectors(Given):
    """A new vector for a point."""

    id: PointId
    vector: Vector


class PointIdsList(Given):
    """Points by id."""

    points: list[PointId]


class FilterSelector(Given):
    """Points by a filter."""

    filter: Filter


class PayloadSelectorInclude(Given):
    """These keys of the payload."""

    include: list[str]


class PayloadSelectorExclude(Given):
    """All keys of the payload but these."""

    exclude: list[str]


class Record(BaseModel):
    """A point as scroll and retrieve return it."""

    id: PointId
    payload: Payload | None = None
    vector: list[float] | None = None
    shard_key: None = None
    order_value: int | float | None = None


class ScoredPoint(BaseModel):
    """A point as a query returns it."""

    id: PointId
    version: int = 0
    score: float
    payload: Payload | None = None
    vector: list[float] | None = None
    shard_key: None = None
    order_value: int | float | None = None


class QueryResponse(BaseModel):
    """The points of a query, the best first."""

    points: list[ScoredPoint]


class UpdateResult(BaseModel):
    """A write that is done."""

    operation_id: int | None = None
    status: UpdateStatus


class CountResult(BaseModel):
    """How many points."""

    count: int


class FacetValueHit(BaseModel):
    """A value, and how many points have it."""

    value: str | int | bool
    count: int


class FacetResponse(BaseModel):
    """The most frequent values."""

    hits: list[FacetValueHit]


class SearchParams(BaseModel):
    """Of one search: hnsw_ef, exact; others have no effect."""

    model_config = ConfigDict(extra="allow")
    hnsw_ef: int | None = None
    exact: bool | None = None


class NearestQuery(Given):
    """The nearest to a vector, or to the point with an id."""

    nearest: Vector
    mmr: Any = None


class RecommendInput(Given):
    """Examples: vectors or ids."""

    positive: list[Vector] | None = None
    negative: list[Vector] | None = None
    strategy: RecommendStrategy | None = None


class RecommendQuery(Given):
    """Points like the positive examples and unlike the negative ones."""

    recommend: RecommendInput


class OrderBy(Given):
    """By a number in the payload."""

    key: str
    direction: Direction | None = None
    start_from: int | float | None = None


class OrderByQuery(Given):
    """Points in the order of a number in the payload."""

    order_by: OrderBy | str


class QueryRequest(Given):
    """One query of query_batch_points."""

    query: Any = None
    filter: Filter | None = None
    limit: int | None = None
    offset: int | None = None
    with_payload: bool | list[str] | PayloadSelectorInclude | PayloadSelectorExclude | None = None
    with_vector: bool | list[str] | None = None
    score_threshold: float | None = None
    params: SearchParams | None = None
    prefetch: Any = None
    using: str | None = None
    lookup_from: Any = None
    shard_key: Any = None
