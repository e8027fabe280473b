"""Which RPCs a method of a client makes, for both clients at once.

A method is a generator: it yields the calls it wants made and is sent the responses, so it knows neither threads
nor an event loop. What a call ended with, when it failed for good, is thrown into it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import Message

from pykyro.client import decode, encode
from pykyro.client.retry import CALL, STREAM, RetryLimits
from pykyro.model.answers import (
    DocumentPage,
    Facet,
    Health,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
)
from pykyro.model.arguments import (
    DocId,
    VectorLike,
    checked_doc_id,
    checked_ids,
    checked_namespace,
    groups,
)
from pykyro.model.criteria import SearchOptions
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter_dict import FilterLike, parse_filter
from pykyro.model.freshness import Freshness
from pykyro.model.limits import MESSAGE_BYTES_MAX, STREAM_MESSAGES_MAX
from pykyro.model.listing import PageRequest
from pykyro.model.requests import CompactionReport, FlushReport
from pykyro.model.types import AnyId
from pykyro.model.value_order import checked_facets
from pykyro.proto import filter_messages
from pykyro.proto import kyrodb_pb2 as pb

Result = TypeVar("Result")
Item = TypeVar("Item")
Response = TypeVar("Response", bound=Message)
FilterArgument: TypeAlias = FilterLike | pb.MetadataFilter

STREAM_MESSAGES: Final = 1000
"""Messages of one stream: enough to make the call's own cost small, few enough to be sent again."""
STREAM_BYTES: Final = 16 << 20
_LOOKUPS_WITH_VECTORS: Final = 1000
_IDS_BYTES: Final = 1 << 20
assert STREAM_MESSAGES < STREAM_MESSAGES_MAX
assert _LOOKUPS_WITH_VECTORS < STREAM_MESSAGES_MAX


@dataclass(frozen=True, slots=True)
class ClientCall:
    """One RPC to be made: its name and the bytes of its request messages.

    `idempotent`: a second call changes neither the data nor the answer. `retry_limits` bounds the attempts after the
    server shed it. When a stream of responses, one for each request, breaks off, the call continues with the requests
    that have no response.
    """

    rpc: str
    requests: Sequence[bytes]
    idempotent: bool = True
    retry_limits: RetryLimits = CALL

    def __post_init__(self) -> None:
        largest = max(map(len, self.requests))
        if largest > MESSAGE_BYTES_MAX:
            raise InvalidArgument(f"the request has {largest} bytes; the maximum is {MESSAGE_BYTES_MAX}")


Steps: TypeAlias = Generator[ClientCall, list[bytes], Result]
"""Yields calls, is sent their response messages, returns the method's result."""


def get(
    doc_id: DocId, namespace: str, include_vector: bool, fresh: Freshness | None
) -> Steps[StoredDocument | None]:
    own_id, text_id = encode.named(checked_doc_id(doc_id, None))
    request = pb.QueryRequest(
        doc_id=own_id,
        text_id=text_id,
        include_embedding=bool(include_vector),
        namespace=checked_namespace(namespace),
        read_options=encode.read_options(fresh),
    )
    response = yield from ask("Query", request, pb.QueryResponse)
    return decode.stored_document(response)


def get_many(
    ids: Iterable[DocId], namespace: str, include_vectors: bool, fresh: Freshness | None
) -> Steps[list[StoredDocument | None]]:
    namespace = checked_namespace(namespace)
    found: list[StoredDocument | None] = []
    for some in id_groups(ids, _LOOKUPS_WITH_VECTORS if include_vectors else STREAM_MESSAGES_MAX):
        doc_ids, text_ids = encode.named_each(some)
        request = pb.BulkQueryRequest(
            doc_ids=doc_ids,
            text_ids=text_ids,
            include_embeddings=bool(include_vectors),
            namespace=namespace,
            read_options=encode.read_options(fresh),
        )
        response = yield from ask("BulkQuery", request, pb.BulkQueryResponse)
        found += map(decode.stored_document, response.results)
    return found


def search(
    vector: VectorLike | None, options: SearchOptions, filter: FilterArgument | None, fresh: Freshness | None
) -> Steps[SearchAnswer]:
    request = options.ask(vector, "vector", None)
    (payload,) = yield ClientCall("Search", [encode.search_request(request, filter_message(filter), fresh)])
    return decode.search_answer(payload)


def search_many(
    vectors: Iterable[VectorLike],
    options: SearchOptions,
    filter: FilterArgument | None,
    fresh: Freshness | None,
) -> Steps[list[SearchAnswer]]:
    message = filter_message(filter)
    requests = [encode.search_request(request, message, fresh) for request in options.ask_each(vectors, None)]
    answers: list[SearchAnswer] = []
    for stream in slices(requests, STREAM_MESSAGES):
        payloads = yield ClientCall("BulkSearch", stream, retry_limits=STREAM)
        answers += map(decode.search_answer, payloads)
    return answers


def count(filter: FilterArgument | None, namespace: str, fresh: Freshness | None) -> Steps[int]:
    request = pb.CountRequest(
        filter=filter_message(filter),
        namespace=checked_namespace(namespace),
        read_options=encode.read_options(fresh),
    )
    return (yield from ask("Count", request, pb.CountResponse)).count


def scroll(
    wanted: PageRequest, filter: FilterArgument | None, page_token: str, fresh: Freshness | None = None
) -> Steps[DocumentPage]:
    request = pb.ScrollRequest(
        filter=filter_message(filter),
        namespace=wanted.scope.namespace,
        limit=wanted.limit,
        page_token=page_token,
        descending=wanted.descending,
        include_embeddings=wanted.include_vectors,
        exclude_metadata=not wanted.include_metadata,
        order_by=wanted.order_by,
        read_options=encode.read_options(fresh),
    )
    return decode.document_page((yield from ask("Scroll", request, pb.ScrollResponse)))


def sample(
    wanted: PageRequest, filter: FilterArgument | None, fresh: Freshness | None
) -> Steps[list[StoredDocument]]:
    request = pb.SampleRequest(
        filter=filter_message(filter),
        namespace=wanted.scope.namespace,
        count=wanted.limit,
        include_embeddings=wanted.include_vectors,
        exclude_metadata=not wanted.include_metadata,
        read_options=encode.read_options(fresh),
    )
    return decode.document_page((yield from ask("Sample", request, pb.ScrollResponse))).documents


def facets(
    key: str, filter: FilterArgument | None, namespace: str, limit: int, fresh: Freshness | None
) -> Steps[list[Facet]]:
    key, limit = checked_facets(key, limit)
    request = pb.FacetsRequest(
        filter=filter_message(filter),
        namespace=checked_namespace(namespace),
        key=key,
        limit=limit,
        read_options=encode.read_options(fresh),
    )
    return decode.facets((yield from ask("Facets", request, pb.FacetsResponse)))


def flush(force: bool) -> Steps[FlushReport]:
    response = yield from ask(
        "FlushHotTier", pb.FlushRequest(force=bool(force)), pb.FlushResponse, idempotent=False
    )
    return FlushReport(response.documents_flushed, response.flush_duration_ms / 1000)


def compact() -> Steps[CompactionReport]:
    response = yield from ask("Compact", pb.CompactRequest(), pb.CompactResponse, idempotent=False)
    return CompactionReport(
        documents=response.documents,
        segments_before=response.segments_before,
        segments=response.segments,
        bytes_before=response.bytes_before,
        bytes=response.bytes,
        duration_s=response.duration_ms / 1000,
    )


def snapshot() -> Steps[Snapshot]:
    response = yield from ask("CreateSnapshot", pb.SnapshotRequest(), pb.SnapshotResponse, idempotent=False)
    return Snapshot(response.snapshot_path, response.documents_snapshotted, response.snapshot_size_bytes)


def health() -> Steps[Health]:
    return decode.health((yield from ask("Health", pb.HealthRequest(), pb.HealthResponse)))


def stats() -> Steps[Stats]:
    metrics = yield from ask("Metrics", pb.MetricsRequest(), pb.MetricsResponse)
    config = yield from ask("GetConfig", pb.ConfigRequest(), pb.ConfigResponse)
    return decode.stats(metrics, config)


def ask(rpc: str, request: Message, kind: type[Response], *, idempotent: bool = True) -> Steps[Response]:
    """One call of a unary RPC."""
    (payload,) = yield ClientCall(rpc, [request.SerializeToString()], idempotent)
    return kind.FromString(payload)


def filter_message(filter: FilterArgument | None) -> pb.MetadataFilter | None:
    """The message of a filter, None of none. Raises InvalidArgument."""
    if filter is None or isinstance(filter, pb.MetadataFilter):
        return filter
    try:
        return filter_messages.filter_message(parse_filter(filter))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"filter cannot be sent: {error}", field="filter") from error


def id_groups(ids: Iterable[DocId], most: int) -> Iterator[list[AnyId]]:
    """Checked ids, as many together as one request may name."""
    return groups(
        checked_ids(ids, None),
        count_max=most,
        bytes_max=_IDS_BYTES,
        bytes_of=lambda own_id: 10 if isinstance(own_id, int) else len(own_id.encode()) + 5,
    )


def slices(items: list[Item], size: int) -> Iterator[list[Item]]:
    """The items, at most `size` of them at a time."""
    for at in range(0, len(items), size):
        yield items[at : at + size]
