"""The bodies and parameters that come in: what is checked, and what the description says."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from pykyro.model import limits
from pykyro.transport.rest.declare import Body, Query

_DIGITS: Final = re.compile(r"[0-9]{1,20}", re.ASCII)

U32: TypeAlias = Annotated[int, Field(ge=0, le=2**32 - 1)]
U64: TypeAlias = Annotated[int, Field(ge=0, le=2**64 - 1)]


def _plain(text: Any) -> Any:
    """A parameter of an address as the value it spells, where it spells one."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if isinstance(text, str) and _DIGITS.fullmatch(text) else text


def stated(**bounds: Any) -> Any:
    """Bounds of a field that the description says and the call itself checks, in the words of every door."""
    return Field(json_schema_extra=bounds)


Spelt: Final = BeforeValidator(_plain)

Id: TypeAlias = Annotated[
    U64 | str,
    stated(
        description="A number from 1 on, or a text of 1 to 512 bytes where the ids of the collection are texts."
    ),
]
Ids: TypeAlias = Annotated[list[Id], stated(maxItems=limits.STREAM_MESSAGES_MAX)]
Vector: TypeAlias = Annotated[
    list[float],
    stated(
        minItems=1,
        maxItems=limits.DIMENSION_MAX,
        description="As many finite components as the collection has dimensions; stored as float32.",
    ),
]
Metadata: TypeAlias = Annotated[
    dict[str, Any],
    stated(
        maxProperties=limits.METADATA_ENTRIES_MAX,
        description='Values are JSON; {"$time": "2020-01-31T12:00:00Z"} is a time, {"$float": "inf"} an infinite '
        "float. A number with a point or an exponent is a float, one without an integer of 64 bits.",
    ),
]
Filter: TypeAlias = Annotated[
    dict[str, Any],
    stated(description="Conditions by key of metadata, see docs/api.md. An empty one matches everything."),
]
Namespace: TypeAlias = Annotated[str, stated(maxLength=limits.NAMESPACE_BYTES_MAX)]
IdempotencyKey: TypeAlias = Annotated[str, stated(maxLength=limits.IDEMPOTENCY_KEY_BYTES_MAX)]
ExpiresAt: TypeAlias = Annotated[
    str | None,
    stated(
        description='When the document goes, such as "2030-01-31T12:00:00Z"; "never" where it is to stay.'
    ),
]
Ttl: TypeAlias = Annotated[
    float | None, stated(description="Seconds after the write at which the document goes.")
]
Limit: TypeAlias = Annotated[U32, stated(minimum=1, maximum=limits.PAGE_DOCUMENTS_MAX)]


class Expiring(Body):
    expires_at: ExpiresAt = None
    ttl: Ttl = None


class Conditions(Body):
    if_position: U64 | None = None
    if_filter: Filter | None = None
    idempotency_key: IdempotencyKey = ""


class PutDocument(Expiring, Conditions):
    """A document without its id, which the path names."""

    vector: Vector
    metadata: Metadata = Field(default_factory=dict)
    namespace: Namespace = ""
    if_absent: bool = False


class NewDocument(PutDocument):
    """A document to be stored."""

    id: Id


class InsertDocuments(Body):
    """Documents to be stored: each by itself, or with `atomic` all or none."""

    documents: Annotated[
        list[dict[str, Any]], Field(json_schema_extra={"items": {"title": "schema:NewDocument"}})
    ]
    atomic: bool = False
    idempotency_key: IdempotencyKey = ""


class UpdateMetadata(Expiring, Conditions):
    """Entries to lay over those of a document, or with `merge` false to replace them."""

    metadata: Metadata = Field(default_factory=dict)
    merge: bool = True
    namespace: Namespace = ""


class Fresh(Body):
    min_position: U64 = 0
    max_wait_ms: Annotated[U32, stated(maximum=60_000)] | None = None


class GetDocuments(Fresh):
    """Ids of documents."""

    ids: Ids
    include_vectors: bool = False
    namespace: Namespace = ""


class DeleteDocuments(Body):
    """Which documents go: by `ids` or by `filter`."""

    ids: Ids | None = None
    filter: Filter | None = None
    namespace: Namespace = ""
    idempotency_key: IdempotencyKey = ""


class OneSearch(Body):
    vector: Vector | None = None
    text: Annotated[str | None, stated(description="Words, phrases, beginnings: docs/words.md.")] = None
    fuse: Annotated[
        str | dict[str, Any] | None,
        stated(description='How a vector and a text go together: "rrf", "weights", {"rrf": {"text": 2}}.'),
    ] = None
    depth: Annotated[
        U32 | dict[str, U32], stated(description='Of both legs, or of each: {"vector": 100, "text": 400}.')
    ] = 0
    highlight: bool = False
    explain: bool = False
    group_by: Annotated[
        str, stated(description="A key: k values of it with the best documents of each, docs/arranging.md.")
    ] = ""
    group_size: Annotated[U32, stated(maximum=limits.GROUP_SIZE_MAX)] = 0
    mmr: Annotated[
        float | dict[str, Any] | None,
        stated(description='Documents unlike one another: 0 to 1, or {"relevance": 0.5, "candidates": 100}.'),
    ] = None
    k: Annotated[U32, stated(minimum=1, maximum=limits.K_MAX)] = 10
    filter: Filter | None = None
    namespace: Namespace = ""
    min_score: float = 0.0
    ef_search: Annotated[U32, stated(maximum=limits.EF_SEARCH_MAX)] = 0
    exact: bool = False
    include_vectors: bool = False
    include_metadata: bool = True
    include_positions: bool = False


class Search(OneSearch, Fresh):
    """A vector, a text, or both, and what the documents that are found must be."""


class SearchMany(Body):
    """Searches that are answered in their order."""

    searches: Annotated[list[Search], stated(minItems=1, maxItems=limits.STREAM_MESSAGES_MAX)]


class Chosen(Fresh):
    filter: Filter | None = None
    namespace: Namespace = ""


class Scroll(Chosen):
    """Documents in order, a page at a time."""

    limit: Limit = 1000
    page_token: str = ""
    order_by: str = ""
    descending: bool = False
    include_vectors: bool = False
    include_metadata: bool = True


class Count(Chosen):
    """Which documents to count."""


class Sample(Chosen):
    """How many documents, picked at random."""

    count: Limit
    include_vectors: bool = False
    include_metadata: bool = True


class Facets(Chosen):
    """Of which key the values are counted."""

    key: Annotated[str, stated(minLength=1)]
    limit: Annotated[U32, stated(minimum=1, maximum=limits.FACETS_MAX)] = 10


class CreateCollection(Body):
    """What all documents of a collection have in common."""

    dimension: Annotated[U32, stated(minimum=1, maximum=limits.DIMENSION_MAX)]
    distance: Annotated[str, stated(enum=["cosine", "euclidean", "innerproduct"])] = "cosine"
    m: Annotated[U32, stated(minimum=limits.HNSW_M_MIN, maximum=limits.HNSW_M_MAX)] = 16
    ef_construction: Annotated[U32, stated(minimum=1, maximum=limits.EF_CONSTRUCTION_MAX)] = 200
    ef_search: Annotated[U32, stated(minimum=1, maximum=limits.EF_SEARCH_MAX)] = 50
    id_type: Annotated[str, stated(enum=["integer", "text"])] = "integer"
    default_ttl: Annotated[float | None, stated(description="Seconds; null: documents stay.")] = None
    cold_tier: Annotated[
        str, stated(description='Where sealed documents are: "local", "postgres", "postgres:service".')
    ] = "local"
    text: Annotated[
        str | list[str] | dict[str, Any] | None,
        stated(
            description='A metadata key, several, or {"keys": […], "language": "english"}: docs/words.md.'
        ),
    ] = None
    exist_ok: bool = False


class ChangeCollection(Body):
    """What is to change; what is left out stays."""

    ef_search: Annotated[U32, stated(minimum=1, maximum=limits.EF_SEARCH_MAX)] | None = None
    default_ttl: Annotated[float | None, stated(description="Seconds; null: documents stay.")] = None


class RenameCollection(Body):
    """The new name."""

    new_name: str


class MoveCollection(Body):
    """Where its sealed documents are to be."""

    cold_tier: Annotated[str, stated(description="local, postgres, or postgres:<service>.")]


class SetAlias(Body):
    """The collection that the alias stands for."""

    collection: str


class Flush(Body):
    """Whether the hot tier is sealed whatever it holds."""

    force: bool = False


class Nothing(Body):
    """No field."""


class DocumentQuery(Query):
    namespace: Namespace = ""
    include_vector: Annotated[bool, Spelt] = False
    min_position: Annotated[U64, Spelt] = 0
    max_wait_ms: Annotated[U32, stated(maximum=60_000), Spelt] | None = None


class DeleteQuery(Query):
    namespace: Namespace = ""


class InsertQuery(Query):
    load: Annotated[
        bool,
        stated(
            description="Of a stream: up to 10,000,000 documents, of which those refused are only counted."
        ),
        Spelt,
    ] = False


class HealthQuery(Query):
    component: Literal["", "cache", "hot_tier", "cold_tier", "wal"] = ""
