"""Many documents in one request: as JSON, as lines of JSON, as a stream of Arrow. They go the way of BulkInsert, with
`load` that of BulkLoadHnsw, and with `atomic` that of BatchInsert.

One that cannot even be read is counted and named like one that was refused further on, and the rest goes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import (
    BULK_LOAD_DOCUMENTS_MAX,
    MESSAGE_BYTES_MAX,
    REFUSAL_TEXT_BYTES_MAX,
    STREAM_MESSAGES_MAX,
)
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.service.admission import LARGE_BYTES
from pykyro.transport.rest import render, schemas
from pykyro.transport.rest.arrow_documents import arrow_messages
from pykyro.transport.rest.bodies import lines_of, parse_json, weight_of
from pykyro.transport.rest.calls import Calls
from pykyro.transport.rest.checks import checked_object, fault_of
from pykyro.transport.rest.conditions import key_of
from pykyro.transport.rest.declare import ARROW, Reply, Request
from pykyro.transport.rest.messages import new_document_message, write_options

Made: TypeAlias = bytes | InvalidArgument
"""The message of a document, or why there is none."""

_TOGETHER: Final = 64
"""Documents between two of which others get their turn."""


class _Rows:
    """The documents of one request on their way: which went on, and which were refused here."""

    def __init__(self, rows_max: int, *, names_refused: bool) -> None:
        self._rows_max = rows_max
        self._names_refused = names_refused
        self._sent: list[int] = []
        self._refusals: list[dict[str, Any]] = []
        self._text_bytes = 0
        self._count = 0
        self._failed = 0
        self._error = ""
        self.too_many = False

    def messages(self, made: Iterable[Made | None]) -> list[bytes]:
        """Those that go on of the next rows; None is a row that is left out."""
        found: list[bytes] = []
        for one in made:
            at = self._count
            self._count += 1
            if at >= self._rows_max:
                self.too_many = True
                break
            if one is None:
                continue
            if isinstance(one, bytes) and len(one) > MESSAGE_BYTES_MAX:
                one = InvalidArgument(
                    f"the document has {len(one)} bytes; the maximum is {MESSAGE_BYTES_MAX}"
                )
            if isinstance(one, InvalidArgument):
                self._refuse(at, "INVALID_ARGUMENT", str(one))
            else:
                found.append(one)
                if self._names_refused:
                    self._sent.append(at)
        return found

    def _refuse(self, at: int, code: str, text: str) -> None:
        self._failed += 1
        self._error = text
        if self._names_refused:
            self._text_bytes += len(text.encode())
            shown = text if self._text_bytes <= REFUSAL_TEXT_BYTES_MAX else ""
            self._refusals.append({"index": at, "code": code, "error": shown})

    def report(self, stored: dict[str, Any]) -> dict[str, Any]:
        """What became of all, given what became of those that went on."""
        if self.too_many:
            self._refuse(self._rows_max, "RESOURCE_EXHAUSTED", f"Batch size exceeds maximum {self._rows_max}")
        refusals = [
            {**one, "index": self._sent[one["index"]]} for one in stored.pop("refusals", ())
        ] + self._refusals
        stored["failed"] += self._failed
        if self._error:
            stored["error"] = self._error
        if self._names_refused:
            stored["refusals"] = sorted(refusals, key=lambda one: one["index"])
        return stored


async def insert_documents(calls: Calls, request: Request) -> Reply:
    if request.chunks is None:
        body: schemas.InsertDocuments = request.body
        if body.atomic:
            return await _insert_atomically(calls, request)
        if body.idempotency_key or "idempotency-key" in request.headers:
            raise InvalidArgument(
                "an idempotency key is for documents that are stored all or none: set atomic, or give each document "
                "its own",
                field="idempotency_key",
            )
        made = _of_trees(body.documents)
    elif request.media_type == ARROW:
        made = arrow_messages(request.chunks, request.in_thread)
    else:
        made = _of_lines(request)
    load = request.query.load
    rows = _Rows(BULK_LOAD_DOCUMENTS_MAX if load else STREAM_MESSAGES_MAX, names_refused=not load)
    payload = await calls.stream_in(
        "BulkLoadHnsw" if load else "BulkInsert", _batches(made, rows), request.path["collection"]
    )
    return Reply(rows.report(render.loaded(payload) if load else render.inserted(payload)))


async def _batches(made: AsyncIterator[Sequence[Made | None]], rows: _Rows) -> AsyncIterator[list[bytes]]:
    async for some in made:
        if messages := rows.messages(some):
            yield messages
        if rows.too_many:
            return


async def _of_trees(trees: Sequence[Any]) -> AsyncIterator[list[Made | None]]:
    for start in range(0, len(trees), _TOGETHER):
        yield [_message_of(tree) for tree in trees[start : start + _TOGETHER]]
        await asyncio.sleep(0)


async def _of_lines(request: Request) -> AsyncIterator[list[Made | None]]:
    assert request.chunks is not None
    async for lines in lines_of(request.chunks, request.hold):
        if len(lines[0]) > LARGE_BYTES:  # the one that came in several chunks
            long = lines.pop(0)
            request.hold(2 * len(long) + weight_of(long))
            yield [await request.in_thread(partial(_message_of_line, long))]
            request.hold(0)
        for start in range(0, len(lines), _TOGETHER):
            yield [_message_of_line(line) for line in lines[start : start + _TOGETHER]]
            await asyncio.sleep(0)


def _message_of_line(line: bytes) -> Made | None:
    if not line.strip():
        return None
    try:
        return _message_of(parse_json(line, "the line"))
    except InvalidArgument as fault:
        return fault


def _message_of(tree: Any) -> Made:
    try:
        return new_document_message(schemas.NewDocument.model_validate(checked_object(tree, "a document")))
    except ValidationError as error:
        return fault_of(error)
    except InvalidArgument as fault:
        return fault


async def _insert_atomically(calls: Calls, request: Request) -> Reply:
    body: schemas.InsertDocuments = request.body
    messages: list[bytes] = []
    async for some in _of_trees(body.documents):
        for one in some:
            if isinstance(one, InvalidArgument):
                raise InvalidArgument(f"documents[{len(messages)}]: {one}", field=one.field)
            if one is not None:
                messages.append(one)
    options = write_options(idempotency_key=key_of(request))
    message = wire.BatchInsertRequest(documents=messages, write_options=options)
    payload = await calls.unary("BatchInsert", message, request.path["collection"])
    response = pb.InsertResponse.FromString(payload)
    return Reply(
        {"inserted": response.total_inserted, "failed": 0, "position": response.position, "refusals": []}
    )
