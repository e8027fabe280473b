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
from pykyro.client.retry import CALL, STREAM, STREAM_ONCE_MORE, RetryLimits
from pykyro.client.status import refusal_error
from pykyro.model.answers import (
    DocumentPage,
    Facet,
    Health,
    InsertReport,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
)
from pykyro.model.arguments import (
    DocId,
    Metadata,
    Schema,
    VectorLike,
    checked_doc_id,
    checked_ids,
    checked_metadata,
    checked_namespace,
    groups,
)
from pykyro.model.criteria import SearchOptions, check_one_criterion
from pykyro.model.documents import DocumentsLike, Intake, checked_document
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.expiry import Expiry
from pykyro.model.filter_dict import FilterLike, parse_filter
from pykyro.model.limits import MESSAGE_BYTES_MAX, STREAM_MESSAGES_MAX
from pykyro.model.listing import PageRequest, page_request
from pykyro.model.requests import FlushReport
from pykyro.model.text_ids import TEXT
from pykyro.model.typed_text import tags_of
from pykyro.model.types import AnyId, Metric
from pykyro.model.value_order import checked_facets
from pykyro.proto import kyrodb_pb2 as pb

Result = TypeVar("Result")
Item = TypeVar("Item")
Response = TypeVar("Response", bound=Message)
FilterArgument: TypeAlias = FilterLike | pb.MetadataFilter

_STREAM_MESSAGES: Final = 1000
"""Messages of one stream: enough to make the call's own cost small, few enough to be sent again."""
_STREAM_BYTES: Final = 16 << 20
_LOOKUPS_WITH_VECTORS: Final = 1000
_IDS_BYTES: Final = 1 << 20
assert _STREAM_MESSAGES < STREAM_MESSAGES_MAX
assert _LOOKUPS_WITH_VECTORS < STREAM_MESSAGES_MAX


_UNNAMED: Final = pb.InsertResponse.Refusal(code=9)
"""Of a server that does not name what it refused: FAILED_PRECONDITION, for it may be anything."""


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


def insert(
    doc_id: DocId, vector: VectorLike, metadata: Metadata | None, namespace: str, expiry: Expiry | None
) -> Steps[None]:
    document = checked_document(doc_id, vector, metadata, None)
    yield ClientCall("Insert", [encode.insert_request(document, checked_namespace(namespace), expiry)])


def insert_many(documents: DocumentsLike, namespace: str, expiry: Expiry | None) -> Steps[InsertReport]:
    return (yield from _stored(documents, namespace, expiry)).checked_report()


def insert_each(documents: DocumentsLike, namespace: str) -> Steps[InsertReport]:
    """`insert_many` for a caller that looks at the report also when nothing was stored."""
    return (yield from _stored(documents, namespace, None)).report


def _stored(documents: DocumentsLike, namespace: str, expiry: Expiry | None) -> Steps[Intake]:
    intake, namespace = Intake(documents, expiry), checked_namespace(namespace)
    # What can be known beforehand is refused here, and the server need not take it.
    config = yield from ask("GetConfig", pb.ConfigRequest(), pb.ConfigResponse)
    metric = Metric(config.hnsw_distance.lower())
    schema = Schema(config.embedding_dimension, metric, config.id_type == TEXT)
    size = _STREAM_MESSAGES
    encoded = (
        (put.document.own_id, encode.insert_request(put.document, namespace, put.expiry))
        for put in intake.accepted(schema)
    )
    try:
        for group in groups(
            encoded, count_max=_STREAM_MESSAGES, bytes_max=_STREAM_BYTES, bytes_of=lambda pair: len(pair[1])
        ):
            size = yield from _bulk_insert(group, size, intake)
    except GeneratorExit:
        raise
    except BaseException as error:
        intake.note(error)
        raise
    return intake


def _bulk_insert(group: list[tuple[AnyId, bytes]], size: int, intake: Intake) -> Steps[int]:
    """Store documents in streams of at most `size`; the size that the server's rate allows.

    A stream that asks for more than the rate allows is sent again in halves. Storing a document twice is storing it.
    """
    waiting = list(_slices(group, size))[::-1]
    while waiting:
        documents = waiting.pop()
        half = len(documents) // 2
        try:
            requests = [request for _, request in documents]
            (payload,) = yield ClientCall(
                "BulkInsert", requests, retry_limits=STREAM_ONCE_MORE if half else CALL
            )
        except ResourceExhausted as error:
            if error.retry_after_s is None or not half:
                raise
            size = half
            waiting += [documents[half:], documents[:half]]
            continue
        response = pb.InsertResponse.FromString(payload)
        failed = response.total_failed
        refusals = {refusal.position: refusal for refusal in response.refusals}
        if len(refusals) != failed and failed != len(documents):
            # A server that does not name what it refused: in halves, until that is known.
            waiting += [documents[half:], documents[:half]]
            continue
        intake.inserted += len(documents) - failed
        if failed:
            for position, (doc_id, _) in enumerate(documents):
                if refusal := refusals.get(position, None if refusals else _UNNAMED):
                    intake.refuse(doc_id, refusal_error(refusal.code, refusal.error or response.error))
    return size


def update_metadata(
    doc_id: DocId, metadata: Metadata, merge: bool, namespace: str, expiry: Expiry | None
) -> Steps[bool]:
    own_id, text_id = encode.named(checked_doc_id(doc_id, None))
    values = checked_metadata(metadata)
    request = pb.UpdateMetadataRequest(
        doc_id=own_id,
        text_id=text_id,
        metadata=values,
        types=tags_of(values),
        merge=bool(merge),
        namespace=checked_namespace(namespace),
        expiry=encode.expiry_message(expiry),
    )
    response = yield from ask("UpdateMetadata", request, pb.UpdateMetadataResponse)
    return response.existed


def delete(doc_id: DocId, namespace: str) -> Steps[bool]:
    own_id, text_id = encode.named(checked_doc_id(doc_id, None))
    request = pb.DeleteRequest(doc_id=own_id, text_id=text_id, namespace=checked_namespace(namespace))
    response = yield from ask("Delete", request, pb.DeleteResponse, idempotent=False)
    return response.existed


def delete_many(ids: Iterable[DocId] | None, filter: FilterArgument | None, namespace: str) -> Steps[int]:
    check_one_criterion(ids, filter)
    namespace = checked_namespace(namespace)
    if filter is not None:
        requests = [pb.BatchDeleteRequest(filter=_filter_message(filter), namespace=namespace)]
    else:
        requests = []
        for some in _id_groups(ids or (), STREAM_MESSAGES_MAX):
            doc_ids, text_ids = encode.named_each(some)
            named = pb.IdList(doc_ids=doc_ids, text_ids=text_ids)
            requests.append(pb.BatchDeleteRequest(ids=named, namespace=namespace))
    deleted = 0
    for request in requests:
        response = yield from ask("BatchDelete", request, pb.BatchDeleteResponse, idempotent=False)
        deleted += response.deleted_count
    return deleted


def get(doc_id: DocId, namespace: str, include_vector: bool) -> Steps[StoredDocument | None]:
    own_id, text_id = encode.named(checked_doc_id(doc_id, None))
    request = pb.QueryRequest(
        doc_id=own_id,
        text_id=text_id,
        include_embedding=bool(include_vector),
        namespace=checked_namespace(namespace),
    )
    response = yield from ask("Query", request, pb.QueryResponse)
    return decode.stored_document(response)


def get_many(
    ids: Iterable[DocId], namespace: str, include_vectors: bool
) -> Steps[list[StoredDocument | None]]:
    namespace = checked_namespace(namespace)
    found: list[StoredDocument | None] = []
    for some in _id_groups(ids, _LOOKUPS_WITH_VECTORS if include_vectors else STREAM_MESSAGES_MAX):
        doc_ids, text_ids = encode.named_each(some)
        request = pb.BulkQueryRequest(
            doc_ids=doc_ids, text_ids=text_ids, include_embeddings=bool(include_vectors), namespace=namespace
        )
        response = yield from ask("BulkQuery", request, pb.BulkQueryResponse)
        found += map(decode.stored_document, response.results)
    return found


def search(vector: VectorLike, options: SearchOptions, filter: FilterArgument | None) -> Steps[SearchAnswer]:
    request = options.ask(vector, "vector", None)
    (payload,) = yield ClientCall("Search", [encode.search_request(request, _filter_message(filter))])
    return decode.search_answer(payload)


def search_many(
    vectors: Iterable[VectorLike], options: SearchOptions, filter: FilterArgument | None
) -> Steps[list[SearchAnswer]]:
    message = _filter_message(filter)
    requests = [encode.search_request(request, message) for request in options.ask_each(vectors, None)]
    answers: list[SearchAnswer] = []
    for stream in _slices(requests, _STREAM_MESSAGES):
        payloads = yield ClientCall("BulkSearch", stream, retry_limits=STREAM)
        answers += map(decode.search_answer, payloads)
    return answers


def count(filter: FilterArgument | None, namespace: str) -> Steps[int]:
    request = pb.CountRequest(filter=_filter_message(filter), namespace=checked_namespace(namespace))
    return (yield from ask("Count", request, pb.CountResponse)).count


def scroll(wanted: PageRequest, filter: FilterArgument | None, page_token: str) -> Steps[DocumentPage]:
    request = pb.ScrollRequest(
        filter=_filter_message(filter),
        namespace=wanted.scope.namespace,
        limit=wanted.limit,
        page_token=page_token,
        descending=wanted.descending,
        include_embeddings=wanted.include_vectors,
        exclude_metadata=not wanted.include_metadata,
        order_by=wanted.order_by,
    )
    return decode.document_page((yield from ask("Scroll", request, pb.ScrollResponse)))


def sample(wanted: PageRequest, filter: FilterArgument | None) -> Steps[list[StoredDocument]]:
    request = pb.SampleRequest(
        filter=_filter_message(filter),
        namespace=wanted.scope.namespace,
        count=wanted.limit,
        include_embeddings=wanted.include_vectors,
        exclude_metadata=not wanted.include_metadata,
    )
    return decode.document_page((yield from ask("Sample", request, pb.ScrollResponse))).documents


def facets(key: str, filter: FilterArgument | None, namespace: str, limit: int) -> Steps[list[Facet]]:
    key, limit = checked_facets(key, limit)
    request = pb.FacetsRequest(
        filter=_filter_message(filter), namespace=checked_namespace(namespace), key=key, limit=limit
    )
    return decode.facets((yield from ask("Facets", request, pb.FacetsResponse)))


def clear(namespace: str) -> Steps[int]:
    """Pages of ids, deleted one after the other."""
    wanted = page_request(STREAM_MESSAGES_MAX, None, namespace, include_vectors=False, include_metadata=False)
    gone = 0
    while documents := (yield from scroll(wanted, None, "")).documents:
        gone += yield from delete_many([document.id for document in documents], None, namespace)
    return gone


def flush(force: bool) -> Steps[FlushReport]:
    response = yield from ask(
        "FlushHotTier", pb.FlushRequest(force=bool(force)), pb.FlushResponse, idempotent=False
    )
    return FlushReport(response.documents_flushed, response.flush_duration_ms / 1000)


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


def _filter_message(filter: FilterArgument | None) -> pb.MetadataFilter | None:
    if filter is None or isinstance(filter, pb.MetadataFilter):
        return filter
    try:
        return encode.filter_message(parse_filter(filter))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"filter cannot be sent: {error}", field="filter") from error


def _id_groups(ids: Iterable[DocId], most: int) -> Iterator[list[AnyId]]:
    """Checked ids, as many together as one request may name."""
    return groups(
        checked_ids(ids, None),
        count_max=most,
        bytes_max=_IDS_BYTES,
        bytes_of=lambda own_id: 10 if isinstance(own_id, int) else len(own_id.encode()) + 5,
    )


def _slices(items: list[Item], size: int) -> Iterator[list[Item]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
