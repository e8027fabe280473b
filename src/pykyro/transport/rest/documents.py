"""Operations on documents: insert, look up, update, delete."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pykyro.model.errors import InvalidArgument, NotFound
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.transport.rest import answers, render, schemas
from pykyro.transport.rest.bulk import insert_documents
from pykyro.transport.rest.calls import Calls
from pykyro.transport.rest.conditions import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    etag_of,
    key_of,
    options_of,
    position_in,
)
from pykyro.transport.rest.declare import ARROW, NDJSON, Operation, Reply, Request
from pykyro.transport.rest.messages import (
    expiry_of,
    filter_of,
    id_fields,
    ids_fields,
    insert_message,
    metadata_of,
    path_id,
    read_options,
    write_options,
)
from pykyro.transport.rest.problems import Problem, problem_of

DOCUMENT: Final = "/v1/collections/{collection}/documents/{id}"
DOCUMENTS: Final = "/v1/collections/{collection}/documents"
WITHIN: Final = "/v1/collections/{collection}"
_MATCH: Final = {
    IF_MATCH: "The write is done only if the document is at this position, its ETag; * only if there is one.",
    IDEMPOTENCY_KEY: "A write that comes again with its key is answered as before and changes nothing.",
}


def own_id(calls: Calls, request: Request) -> int | str:
    """The id that the path names, of the type that the collection has. Raises InvalidArgument."""
    return path_id(request.path["id"], is_text=calls.has_text_ids(request.path["collection"]))


async def put_document(calls: Calls, request: Request) -> Reply:
    options = options_of(request, inserts=True)
    message = insert_message(own_id(calls, request), request.body, options)
    try:
        payload = await calls.unary("Insert", message, request.path["collection"])
    except Problem as problem:
        if problem.code == "ALREADY_EXISTS" and IF_NONE_MATCH in request.headers:
            problem.status = HTTPStatus.PRECONDITION_FAILED
        raise
    position = pb.InsertResponse.FromString(payload).position
    return Reply({"position": position}, headers={"etag": etag_of(position)})


async def get_document(calls: Calls, request: Request) -> Reply:
    query: schemas.DocumentQuery = request.query
    message = pb.QueryRequest(
        **id_fields(own_id(calls, request)),
        include_embedding=query.include_vector,
        namespace=query.namespace,
        read_options=read_options(query.min_position, query.max_wait_ms),
    )
    payload = await calls.unary("Query", message, request.path["collection"])
    found = render.document(pb.QueryResponse.FromString(payload))
    if found is None:
        raise _not_there(request)
    headers = {"etag": etag_of(found["position"])}
    known = request.headers.get(IF_NONE_MATCH)
    if known is not None and (known.strip() == "*" or position_in(known, IF_NONE_MATCH) == found["position"]):
        return Reply(None, HTTPStatus.NOT_MODIFIED, headers)
    return Reply(found, headers=headers)


async def update_metadata(calls: Calls, request: Request) -> Reply:
    body: schemas.UpdateMetadata = request.body
    texts, types = metadata_of(body.metadata)
    message = pb.UpdateMetadataRequest(
        **id_fields(own_id(calls, request)),
        metadata=texts,
        types=types,
        merge=body.merge,
        namespace=body.namespace,
        expiry=expiry_of(body.expires_at, body.ttl),
        write_options=options_of(request, inserts=False),
    )
    payload = await calls.unary("UpdateMetadata", message, request.path["collection"])
    response = pb.UpdateMetadataResponse.FromString(payload)
    if not response.existed:
        raise _not_there(request)
    return Reply({"position": response.position}, headers={"etag": etag_of(response.position)})


async def delete_document(calls: Calls, request: Request) -> Reply:
    message = pb.DeleteRequest(
        **id_fields(own_id(calls, request)),
        namespace=request.query.namespace,
        write_options=options_of(request, inserts=False),
    )
    payload = await calls.unary("Delete", message, request.path["collection"])
    response = pb.DeleteResponse.FromString(payload)
    return Reply({"existed": response.existed, "position": response.position})


async def get_documents(calls: Calls, request: Request) -> Reply:
    body: schemas.GetDocuments = request.body
    message = pb.BulkQueryRequest(
        **ids_fields(body.ids),
        include_embeddings=body.include_vectors,
        namespace=body.namespace,
        read_options=read_options(body.min_position, body.max_wait_ms),
    )
    payload = await calls.unary("BulkQuery", message, request.path["collection"])
    response = pb.BulkQueryResponse.FromString(payload)
    found = [render.document(one) for one in response.results]
    return Reply({"documents": found, "found": response.total_found})


async def delete_documents(calls: Calls, request: Request) -> Reply:
    body: schemas.DeleteDocuments = request.body
    if body.ids is not None and body.filter is not None:
        raise InvalidArgument("ids and filter cannot both be given", field="ids")
    criteria: dict[str, Any] = {}
    if body.ids is not None:
        criteria["ids"] = pb.IdList(**ids_fields(body.ids))
    elif body.filter is not None:
        criteria["filter"] = filter_of(body.filter)
    message = pb.BatchDeleteRequest(
        **criteria,
        namespace=body.namespace,
        write_options=write_options(idempotency_key=key_of(request)),
    )
    payload = await calls.unary("BatchDelete", message, request.path["collection"])
    response = pb.BatchDeleteResponse.FromString(payload)
    return Reply({"deleted": response.deleted_count, "position": response.position})


def _not_there(request: Request) -> Problem:
    where = f"document {request.path['id'][:200]!r} is not there"
    return problem_of(NotFound(where))


OPERATIONS: Final = (
    Operation(
        "PUT", DOCUMENT, "putDocument", "Insert a document, or replace the one with its id", put_document,
        answers.Written, "Insert", body=schemas.PutDocument, errors=(404, 409, 412), etag=True,
        headers={**_MATCH, IF_NONE_MATCH: "*: the document is stored only if there is none with its id."},
    ),
    Operation(
        "GET", DOCUMENT, "getDocument", "Look up a document", get_document, answers.Document, "Query",
        query=schemas.DocumentQuery, statuses=(200, 304), errors=(404, 412), etag=True,
        headers={IF_NONE_MATCH: "An ETag: the answer is 304 while the document is still at that position."},
    ),
    Operation(
        "PATCH", DOCUMENT, "updateMetadata", "Change the metadata of a document", update_metadata,
        answers.Written, "UpdateMetadata", body=schemas.UpdateMetadata, errors=(404, 412), etag=True,
        headers=_MATCH,
    ),
    Operation(
        "DELETE", DOCUMENT, "deleteDocument", "Delete a document", delete_document, answers.Existed, "Delete",
        query=schemas.DeleteQuery, errors=(404, 412), headers=_MATCH,
    ),
    Operation(
        "POST", DOCUMENTS, "insertDocuments", "Insert or replace many documents", insert_documents,
        answers.Inserted, "BulkInsert", body=schemas.InsertDocuments, query=schemas.InsertQuery,
        errors=(404, 409, 412, 501), streams_in=(NDJSON, ARROW),
        headers={IDEMPOTENCY_KEY: "With `atomic`: as for one document."},
    ),
    Operation(
        "POST", f"{WITHIN}/get", "getDocuments", "Look up documents by their ids", get_documents,
        answers.Documents, "BulkQuery", body=schemas.GetDocuments, errors=(404, 412),
    ),
    Operation(
        "POST", f"{WITHIN}/delete", "deleteDocuments", "Delete documents by ids or by filter, all or none",
        delete_documents, answers.Deleted, "BatchDelete", body=schemas.DeleteDocuments, errors=(404,),
        headers={IDEMPOTENCY_KEY: _MATCH[IDEMPOTENCY_KEY]},
    ),
)  # fmt: skip
