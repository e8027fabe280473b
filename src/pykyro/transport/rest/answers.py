"""What goes out, as the description says it. Answers are made in pykyro.transport.rest.render; tests hold the two
against each other."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field

from pykyro.transport.rest.declare import Answer
from pykyro.transport.rest.schemas import U64

Score: TypeAlias = Annotated[
    float | dict[str, str],
    Field(description='Higher is better; {"$float": "inf"} where it is beyond float32.'),
]


class Document(Answer):
    """A stored document."""

    id: U64 | str
    position: U64
    metadata: dict[str, Any]
    vector: list[float] | None = None
    expires_at: str | None = None
    tier: Literal["cache", "hot", "cold"] | None = None


class LegScore(Answer):
    """What a way of searching says of a document; the rank counts from 1, and is 0 behind the depth."""

    leg: Literal["vector", "text"]
    rank: U64
    score: float


class Highlight(Answer):
    """A word of the text in a value: from the character `start` up to `end`."""

    key: str
    start: U64
    end: U64


class TextOptions(Answer):
    """How documents are found by words."""

    keys: list[str]
    language: str
    k1: float
    b: float
    stop_words: bool


class Hit(Answer):
    """A row of an answer."""

    id: U64 | str
    score: Score
    metadata: dict[str, Any]
    vector: list[float] | None = None
    expires_at: str | None = None
    position: U64 | None = None
    legs: list[LegScore] | None = None
    highlights: list[Highlight] | None = None
    group: Annotated[Any, Field(description="The value it was grouped by.")] = None


class SearchAnswer(Answer):
    """Best first; equal scores by ascending id."""

    hits: list[Hit]
    position: U64
    total_found: U64
    matched: U64
    examined: U64
    exact: bool
    complete: bool
    latency_ms: float
    tiers: list[str]
    note: str | None = None
    plan: str | None = None
    fusion: Literal["exhausted", "proved", "bounded", "as_asked"] | None = None
    cached: str | None = None
    cache_margin: Score | None = None


class SearchFailure(Answer):
    """A search of several that failed."""

    error: str


class SearchAnswers(Answer):
    """One for each search, in their order."""

    answers: list[SearchAnswer | SearchFailure]


class Documents(Answer):
    """One for each id, in the order of the request; null where there is none."""

    documents: list[Document | None]
    found: U64


class Page(Answer):
    """Documents in order, as they were at `position`; without `next_page_token` this is the last page."""

    documents: list[Document]
    position: U64
    next_page_token: str | None = None


class Written(Answer):
    """A write that is done at `position`."""

    position: U64


class Existed(Answer):
    """A write that is done, and whether the document was there."""

    existed: bool
    position: U64


class Deleted(Answer):
    """How many documents were there and are gone."""

    deleted: U64
    position: U64


class Refusal(Answer):
    """A document that was refused: which one, counted from 0."""

    index: U64
    code: str
    error: str


class Inserted(Answer):
    """What became of many documents. `failed` are those refused, `error` is why the last one was."""

    inserted: U64
    failed: U64
    position: U64
    error: str | None = None
    refusals: list[Refusal] = Field(default_factory=list)


class Counted(Answer):
    """How many documents match at `position`."""

    count: U64
    position: U64


class Facet(Answer):
    """A value, and how many documents have it."""

    value: Any
    count: U64


class FacetsFound(Answer):
    """The most frequent values first, equal ones by value."""

    facets: list[Facet]
    position: U64


class Collection(Answer):
    """A collection. `documents`, `size_bytes` and `trouble` are for admin keys, and not known of every one."""

    name: str
    dimension: U64
    distance: Literal["cosine", "euclidean", "innerproduct"]
    m: U64
    ef_construction: U64
    ef_search: U64
    id_type: Literal["integer", "text"]
    default_ttl: float | None
    cold_tier: str
    text: TextOptions | None
    aliases: list[str]
    created_at: str | None
    open: bool
    documents: U64 | None = None
    size_bytes: U64 | None = None
    trouble: str | None = None


class Collections(Answer):
    """All collections, `default` first."""

    collections: list[Collection]


class AliasRemoved(Answer):
    """Whether there was such an alias."""

    existed: bool


class Dropped(Answer):
    """The collection is gone."""

    dropped: Literal[True]


class Health(Answer):
    """The state of the server and of its parts, in words."""

    status: Literal["unknown", "healthy", "degraded", "unhealthy"]
    version: str
    components: dict[str, str]
    uptime_seconds: U64
    git_commit: str


class Figures(Answer):
    """The fields of MetricsResponse or ConfigResponse, see docs/api.md."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class Flushed(Answer):
    """What was sealed."""

    documents: U64
    duration_ms: float


class Compacted(Answer):
    """How many segments became how many, and the bytes of all their files."""

    documents: U64
    segments_before: U64
    segments: U64
    bytes_before: U64
    bytes: U64
    duration_ms: float


class Moved(Answer):
    """Sealed documents, rows that were copied for it, and documents and answers of both sides that were compared."""

    documents: U64
    copied: U64
    compared: U64
    duration_ms: float


class Snapshot(Answer):
    """Where the snapshot is."""

    path: str
    documents: U64
    size_bytes: U64


class ProblemDetails(Answer):
    """An error as RFC 9457 has it. `code` and `detail` are those of the gRPC status."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    retry_after_ms: U64 | None = None
    request_id: str | None = None
