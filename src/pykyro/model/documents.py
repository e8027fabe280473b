"""The documents of an `insert_many`: which can be stored, which cannot and why, and the report about it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard
from uuid import UUID

import numpy as np

from pykyro.model.answers import InsertReport, Refusal, StoredDocument
from pykyro.model.arguments import (
    DocId,
    Metadata,
    Schema,
    VectorLike,
    checked_doc_id,
    checked_metadata,
    checked_vector,
)
from pykyro.model.errors import InvalidArgument, KyroError
from pykyro.model.expiry import ExpiresAt, Expiry, Ttl, checked_expiry
from pykyro.model.frames import ID, METADATA, VECTOR, frame_rows, is_frame
from pykyro.model.limits import ENTRY_BYTES
from pykyro.model.requests import Put
from pykyro.model.scalars import shown, shown_error
from pykyro.model.types import LSN, TEXT_ID_KEY, Document
from pykyro.system.signal_handlers import raised_by_handler

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True, eq=False)
class NewDocument:
    """A document to be stored. At most one of `expires_at` and `ttl` says when it goes."""

    id: DocId
    vector: VectorLike
    metadata: Metadata | None = None
    expires_at: ExpiresAt | None = None
    ttl: Ttl | None = None


class ArrowTable(Protocol):
    """A table that speaks Arrow: of pyarrow, pandas, polars and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


DocumentLike: TypeAlias = (
    "tuple[DocId, VectorLike] | tuple[DocId, VectorLike, Metadata | None] | NewDocument | StoredDocument"
    " | Mapping[str, Any] | DataclassInstance"
)
"""(id, vector), (id, vector, metadata), a NewDocument, a document as a lookup returned it, or a dict or an instance
of a dataclass with `id`, `vector`, perhaps `metadata`, and whatever else is an entry of metadata."""
DocumentsLike: TypeAlias = "Iterable[DocumentLike] | ArrowTable"
"""Documents, or a table of them (pykyro.model.frames)."""

_When: TypeAlias = tuple[ExpiresAt | None, Ttl | None]
_Parts: TypeAlias = "tuple[object, VectorLike, Metadata | None, _When]"
"""Id, vector, metadata, and what the document says about its end."""
_WANTED: Final = "documents must be an iterable of (id, vector) or (id, vector, metadata)"
_REFUSALS_NOTED: Final = 10


def checked_document(
    doc_id: object, vector: VectorLike, metadata: Metadata | None, schema: Schema | None
) -> Document:
    """A document whose metadata holds the caller's entries, and its id if that is text. It shares no memory with the
    arguments. Without a schema the id is of either type."""
    own_id = checked_doc_id(doc_id, schema)
    array, entries = checked_vector(vector, "vector", schema), checked_metadata(metadata)
    if isinstance(own_id, str):
        entries[TEXT_ID_KEY] = own_id
        return Document(0, array, entries)
    return Document(own_id, array, entries)


def document_bytes(document: Document) -> int:
    """About what a document takes in memory while it is stored: its vector and its metadata."""
    return content_bytes(document) + ENTRY_BYTES * len(document.metadata)


def content_bytes(document: Document) -> int:
    """About what a document takes in a request: its vector and its metadata."""
    return document.vector.nbytes + sum(len(key) + len(value) for key, value in document.metadata.items())


class Intake:
    """The documents of one `insert_many` on their way in, and those that are refused."""

    def __init__(self, documents: DocumentsLike, expiry: Expiry | None = None) -> None:
        """`expiry` is of those that have none of their own. Raises InvalidArgument for a value that cannot hold
        documents."""
        self._documents = _iterable(documents)
        self._expiry = expiry
        self._refused: list[Refusal] = []
        self._first: KyroError | None = None
        self.inserted = 0
        """How many are stored; the caller that stores them counts them."""
        self.position: LSN = 0
        """That of the last one stored; the caller notes it."""

    def accepted(self, schema: Schema) -> Iterator[Put]:
        """The documents that can be stored; the others are refused."""
        for document in self._documents:
            doc_id: object = None
            try:
                parts = _unpacked(document)
                doc_id = parts[0]
                put = self._put(parts, schema)
            except InvalidArgument as fault:
                self.refuse(doc_id, fault)
            else:
                yield put

    def all(self, schema: Schema) -> Iterator[Put]:
        """The documents, the first bad one being raised: for those that are stored all or none. Raises
        InvalidArgument."""
        for position, document in enumerate(self._documents):
            try:
                yield self._put(_unpacked(document), schema)
            except InvalidArgument as fault:
                raise InvalidArgument(
                    f"documents[{position}]: {fault}; none of the documents is stored", field=fault.field
                ) from fault

    def _put(self, parts: _Parts, schema: Schema) -> Put:
        doc_id, vector, metadata, when = parts
        accepted = checked_document(doc_id, vector, metadata, schema)
        return Put(accepted, None, checked_expiry(*when) or self._expiry)

    def refuse(self, doc_id: object, error: KyroError) -> None:
        """Report this document as not stored."""
        self._refused.append(Refusal(doc_id, str(error)))
        self._first = self._first or error

    def note(self, error: BaseException) -> None:
        """Let an error that ends the call say how far the call had come."""
        error.add_note(
            f"{self.inserted} documents of this insert_many are stored; the state of the others is unknown"
        )

    @property
    def report(self) -> InsertReport:
        """The result of each document, also when none was stored."""
        return InsertReport(self.inserted, self._refused, self.position)

    def checked_report(self) -> InsertReport:
        """`report`. When there were documents and none is stored, raises what the first was refused with: storing
        none is never intended, and a report is easily overlooked."""
        if self.inserted or self._first is None:
            return self.report
        reason = str(self._first)
        text = f"none of the {len(self._refused)} documents is stored; the first was refused: {reason}"
        error: KyroError
        if isinstance(self._first, InvalidArgument):
            # A server's own refusals name no argument, and are about something else than the shape of it.
            wanted = f". {_WANTED}" if self._first.field else ""
            error = InvalidArgument(text + wanted, field=self._first.field or "documents")
            error.__cause__ = self._first
        else:
            error = self._first
            error.add_note(text)
        for refusal in self._refused[:_REFUSALS_NOTED]:
            error.add_note(f"refused: id {shown(refusal.id)}: {refusal.reason}")
        raise error


def _iterable(documents: object) -> Iterable[DocumentLike]:
    """`documents` itself, or the rows of a table, unless it is one of the things that pass for documents and are
    none."""
    if is_frame(documents):
        return frame_rows(documents)
    if isinstance(documents, Mapping) and not {ID, VECTOR} <= documents.keys():
        way = "give documents.items() where it maps ids to vectors"
    elif _is_table(documents):
        way = "give zip(ids, vectors) or zip(ids, vectors, metadata) of its columns"
    elif isinstance(documents, StoredDocument | Mapping) or _is_row(documents) or _is_one_document(documents):
        way = "this is one document: put it in a list, or call insert"
    elif isinstance(documents, np.ndarray) and documents.dtype.kind != "O":
        way = "an array holds no ids: give zip(ids, vectors)"
    elif isinstance(documents, AsyncIterable):
        way = "collect the documents of an asynchronous iterable first: [document async for document in documents]"
    elif isinstance(documents, (str, bytes, bytearray, memoryview)) or not isinstance(documents, Iterable):
        way = "for example [(1, [0.1, 0.2]), (2, [0.3, 0.4])]"
    else:
        return documents
    raise InvalidArgument(f"{_WANTED}, got {shown(documents)}; {way}", field="documents")


def _is_table(documents: object) -> bool:
    """Whether iterating goes over names of columns, or columns, rather than rows: data frames and their like."""
    kind = type(documents)
    return hasattr(kind, "__dataframe__") or (
        hasattr(kind, "columns")
        and any(hasattr(kind, name) for name in ("itertuples", "iter_rows", "collect"))
    )


def _is_row(document: object) -> TypeGuard[DataclassInstance]:
    """Whether this is an instance of a dataclass, not the class itself, nor what holds several."""
    return is_dataclass(document) and not isinstance(document, (type, Sequence))


def _is_one_document(documents: object) -> bool:
    """Whether this is a tuple (id, vector) where a list of such was meant."""
    return (
        isinstance(documents, (tuple, list))
        and len(documents) in (2, 3)
        and isinstance(documents[0], (int, np.integer, str, UUID))
        and not isinstance(documents[1], (int, np.integer))
    )


def _unpacked(document: DocumentLike) -> _Parts:
    """Its id, vector, metadata, and what it says about its end: expires_at and ttl."""
    try:
        match document:
            case StoredDocument(id=doc_id, vector=vector, metadata=metadata):
                if vector is None:
                    raise InvalidArgument(
                        f"document {doc_id} was looked up without its vector", field="vector"
                    )
                return doc_id, vector, metadata, (document.expires_at, None)
            case NewDocument():
                when = document.expires_at, document.ttl
                return document.id, document.vector, document.metadata, when
            case Mapping():
                return *_from_entries(dict(document)), (None, None)
            case _ if _is_row(row := document):
                return *_from_entries({one.name: getattr(row, one.name) for one in fields(row)}), (None, None)
            case (doc_id, vector):
                return doc_id, vector, None, (None, None)
            case (doc_id, vector, metadata):
                return doc_id, vector, metadata, (None, None)
    except InvalidArgument:
        raise
    except Exception as error:
        if raised_by_handler(error):
            raise
        # A sequence of the caller's own class can raise any error when its items are read.
        raise InvalidArgument(
            f"the document, a {type(document).__name__}, cannot be read: {shown_error(error)}",
            field="documents",
        ) from error
    raise InvalidArgument(
        "a document must be (id, vector), (id, vector, metadata), a dict or a dataclass with id and vector, or a "
        f"StoredDocument, got {shown(document)}",
        field="documents",
    )


def _from_entries(entries: dict[str, Any]) -> tuple[object, VectorLike, Metadata | None]:
    """The parts of a document that are named."""
    for name in (ID, VECTOR):
        if name not in entries:
            raise InvalidArgument(
                f"a document that is a dict or a dataclass must have id and vector; {name} is missing among "
                f"{', '.join(map(str, entries))[:200]}",
                field=name,
            )
    doc_id, vector, metadata = entries.pop(ID), entries.pop(VECTOR), entries.pop(METADATA, None)
    if entries and (metadata is None or isinstance(metadata, Mapping)):
        metadata = {**(metadata or {}), **entries}
    return doc_id, vector, metadata
