"""Which RPCs a client makes to store, change and remove documents; see calls.py.

Each notes in `written` the position at which the write was acknowledged. A write with a condition is not made again
by itself when its answer was lost: if it was done, its condition holds no longer. With an idempotency key it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pykyro.client import calls, encode
from pykyro.client.calls import (
    STREAM_BYTES,
    STREAM_MESSAGES,
    ClientCall,
    FilterArgument,
    Steps,
    ask,
    filter_message,
    id_groups,
    slices,
)
from pykyro.client.retry import CALL, STREAM_ONCE_MORE
from pykyro.client.status import refusal_error
from pykyro.model.answers import InsertReport
from pykyro.model.arguments import (
    DocId,
    Metadata,
    Schema,
    VectorLike,
    checked_doc_id,
    checked_metadata,
    checked_namespace,
    groups,
)
from pykyro.model.atomic_batch import AtomicBatch, check_is_atomic, check_is_one_call
from pykyro.model.conditions import Terms, checked_terms
from pykyro.model.criteria import check_one_criterion
from pykyro.model.documents import DocumentsLike, Intake, checked_document
from pykyro.model.errors import ResourceExhausted
from pykyro.model.expiry import Expiry
from pykyro.model.filter_dict import parse_filter
from pykyro.model.last_position import LastPosition
from pykyro.model.limits import STREAM_MESSAGES_MAX
from pykyro.model.listing import page_request
from pykyro.model.text_ids import TEXT
from pykyro.model.typed_text import tags_of
from pykyro.model.types import AnyId, Metric
from pykyro.proto import kyrodb_pb2 as pb

_UNNAMED: Final = pb.InsertResponse.Refusal(code=9)
"""Of a server that does not name what it refused: FAILED_PRECONDITION, for it may be anything."""


def write_options(
    if_absent: bool = False,
    if_position: int | None = None,
    if_filter: FilterArgument | None = None,
    idempotency_key: str = "",
) -> pb.WriteOptions | None:
    """The message of these arguments, None when nothing is asked. Raises InvalidArgument."""
    condition = (
        None if if_filter is None or isinstance(if_filter, pb.MetadataFilter) else parse_filter(if_filter)
    )
    terms = checked_terms(if_absent, if_position, condition, idempotency_key)
    if terms is None and if_filter is None:
        return None
    return pb.WriteOptions(
        if_absent=bool(if_absent),
        if_position=None if terms is None else terms.if_position,
        if_filter=filter_message(if_filter),
        idempotency_key=idempotency_key,
    )


def _is_repeatable(options: pb.WriteOptions | None, *, without: bool) -> bool:
    """Whether a write may be made again after its answer was lost; `without` such options."""
    if options is None:
        return without
    return bool(options.idempotency_key)


def insert(
    written: LastPosition,
    doc_id: DocId,
    vector: VectorLike,
    metadata: Metadata | None,
    namespace: str,
    expiry: Expiry | None,
    options: pb.WriteOptions | None,
) -> Steps[None]:
    document = checked_document(doc_id, vector, metadata, None)
    request = encode.insert_request(document, checked_namespace(namespace), expiry, options)
    (payload,) = yield ClientCall("Insert", [request], _is_repeatable(options, without=True))
    written.note(pb.InsertResponse.FromString(payload).position)


def insert_many(
    written: LastPosition,
    documents: DocumentsLike,
    namespace: str,
    expiry: Expiry | None,
    atomic: bool,
    idempotency_key: str,
) -> Steps[InsertReport]:
    terms = checked_terms(idempotency_key=idempotency_key)
    if atomic:
        intake = Intake(documents, expiry)
        return (yield from _insert_all(written, intake, checked_namespace(namespace), terms))
    check_is_atomic(terms)
    return (yield from _stored(written, documents, namespace, expiry)).checked_report()


def _insert_all(
    written: LastPosition, intake: Intake, namespace: str, terms: Terms | None
) -> Steps[InsertReport]:
    schema = yield from _schema()
    batch = AtomicBatch[bytes]()
    for put in intake.all(schema):
        request = encode.insert_request(put.document, namespace, put.expiry)
        batch.add(request, len(request))
    if batch.documents:
        (payload,) = yield ClientCall("BatchInsert", [encode.batch_insert_request(batch.documents, terms)])
        response = pb.InsertResponse.FromString(payload)
        intake.inserted, intake.position = response.total_inserted, written.note(response.position)
    return intake.report


def _schema() -> Steps[Schema]:
    config = yield from ask("GetConfig", pb.ConfigRequest(), pb.ConfigResponse)
    metric = Metric(config.hnsw_distance.lower())
    return Schema(config.embedding_dimension, metric, config.id_type == TEXT)


def insert_each(written: LastPosition, documents: DocumentsLike, namespace: str) -> Steps[InsertReport]:
    """`insert_many` for a caller that looks at the report also when nothing was stored."""
    return (yield from _stored(written, documents, namespace, None)).report


def _stored(
    written: LastPosition, documents: DocumentsLike, namespace: str, expiry: Expiry | None
) -> Steps[Intake]:
    intake, namespace = Intake(documents, expiry), checked_namespace(namespace)
    # What can be known beforehand is refused here, and the server need not take it.
    schema = yield from _schema()
    size = STREAM_MESSAGES
    encoded = (
        (put.document.own_id, encode.insert_request(put.document, namespace, put.expiry))
        for put in intake.accepted(schema)
    )
    try:
        for group in groups(
            encoded, count_max=STREAM_MESSAGES, bytes_max=STREAM_BYTES, bytes_of=lambda pair: len(pair[1])
        ):
            size = yield from _bulk_insert(group, size, intake)
            written.note(intake.position)
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
    waiting = list(slices(group, size))[::-1]
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
        intake.position = max(intake.position, response.position)
        if failed:
            for position, (doc_id, _) in enumerate(documents):
                if refusal := refusals.get(position, None if refusals else _UNNAMED):
                    intake.refuse(doc_id, refusal_error(refusal.code, refusal.error or response.error))
    return size


def update_metadata(
    written: LastPosition,
    doc_id: DocId,
    metadata: Metadata,
    merge: bool,
    namespace: str,
    expiry: Expiry | None,
    options: pb.WriteOptions | None,
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
        write_options=options,
    )
    response = yield from ask(
        "UpdateMetadata", request, pb.UpdateMetadataResponse, idempotent=_is_repeatable(options, without=True)
    )
    written.note(response.position)
    return response.existed


def delete(
    written: LastPosition, doc_id: DocId, namespace: str, options: pb.WriteOptions | None
) -> Steps[bool]:
    own_id, text_id = encode.named(checked_doc_id(doc_id, None))
    request = pb.DeleteRequest(
        doc_id=own_id, text_id=text_id, namespace=checked_namespace(namespace), write_options=options
    )
    response = yield from ask(
        "Delete", request, pb.DeleteResponse, idempotent=_is_repeatable(options, without=False)
    )
    written.note(response.position)
    return response.existed


def delete_many(
    written: LastPosition,
    ids: Iterable[DocId] | None,
    filter: FilterArgument | None,
    namespace: str,
    options: pb.WriteOptions | None,
) -> Steps[int]:
    check_one_criterion(ids, filter)
    namespace = checked_namespace(namespace)
    if filter is not None:
        requests = [
            pb.BatchDeleteRequest(filter=filter_message(filter), namespace=namespace, write_options=options)
        ]
    else:
        named = [encode.named_each(some) for some in id_groups(ids or (), STREAM_MESSAGES_MAX)]
        if options is not None:
            check_is_one_call(len(named), checked_terms(idempotency_key=options.idempotency_key))
        requests = [
            pb.BatchDeleteRequest(
                ids=pb.IdList(doc_ids=doc_ids, text_ids=text_ids), namespace=namespace, write_options=options
            )
            for doc_ids, text_ids in named
        ]
    deleted = 0
    for request in requests:
        response = yield from ask(
            "BatchDelete",
            request,
            pb.BatchDeleteResponse,
            idempotent=_is_repeatable(options, without=False),
        )
        written.note(response.position)
        deleted += response.deleted_count
    return deleted


def clear(written: LastPosition, namespace: str) -> Steps[int]:
    """Pages of ids, deleted one after the other."""
    wanted = page_request(STREAM_MESSAGES_MAX, None, namespace, include_vectors=False, include_metadata=False)
    gone = 0
    while documents := (yield from calls.scroll(wanted, None, "")).documents:
        gone += yield from delete_many(
            written, [document.id for document in documents], None, namespace, None
        )
    return gone
