"""The documents of one collection of an embedded database: how they are stored, changed and removed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from pykyro.engine.engine import Engine
from pykyro.model.answers import InsertReport
from pykyro.model.arguments import (
    DocId,
    Metadata,
    VectorLike,
    checked_doc_id,
    checked_ids,
    checked_metadata,
    checked_namespace,
    groups,
)
from pykyro.model.atomic_batch import AtomicBatch, check_is_atomic, check_is_one_call
from pykyro.model.conditions import Terms, checked_terms
from pykyro.model.criteria import check_deletion_filter, check_one_criterion
from pykyro.model.documents import DocumentsLike, Intake, checked_document, content_bytes, document_bytes
from pykyro.model.errors import KyroError
from pykyro.model.expiry import ExpiresAt, Ttl, checked_expiry
from pykyro.model.filter_dict import FilterLike, parse_filter
from pykyro.model.last_position import LastPosition
from pykyro.model.limits import (
    STREAM_GROUP_BYTES_MAX,
    STREAM_GROUP_DOCUMENTS_MAX,
    STREAM_MESSAGES_MAX,
)
from pykyro.model.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, PutMany, UpdateMetadata
from pykyro.model.shorthands import Shorthands
from pykyro.model.types import Document, Scope


class DocumentWrites(Shorthands):
    """The writes of a collection. Any thread may call any method; each returns when it is durable and visible.

    Conditions hold for the stored document at the moment of the write: `if_absent` wants none with the id, and raises
    AlreadyExists; `if_position` one at this position, as reads tell it, and `if_filter` one that matches, and they
    raise Aborted. Then nothing is changed. An `idempotency_key`, text of at most 128 bytes, lets a write be sent
    again: what was acknowledged is answered the same and changes nothing.
    """

    def __init__(self) -> None:
        self._written = LastPosition()

    def _in_use(self) -> AbstractContextManager[Engine]:
        """The engine, open for as long as the context lasts. Raises Unavailable when the database is closed."""
        raise NotImplementedError

    @property
    def position(self) -> int:
        """The position of the last write that was acknowledged through this object, 0 before the first: a read with
        it as `min_position` sees that write, whoever answers."""
        return self._written.value

    def _write(self, engine: Engine, operation: Operation) -> int:
        """How many documents there were; raises what refused the operation."""
        ack = engine.write(operation)
        self._written.note(ack.lsn)
        return ack.existed

    def insert(
        self,
        doc_id: DocId,
        vector: VectorLike,
        metadata: Metadata | None = None,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
        if_absent: bool = False,
        if_position: int | None = None,
        if_filter: FilterLike | None = None,
        idempotency_key: str = "",
    ) -> None:
        """Store a document, or replace the one with its id.

        It goes at `expires_at`, a datetime with a zone or seconds since the epoch, or after `ttl`, a timedelta or
        seconds; with neither after the collection's default_ttl, and with math.inf never.

        Raises ResourceExhausted when there is no room, WriteFailed and Unavailable when the disk is in trouble,
        AlreadyExists and Aborted when a condition does not hold.
        """
        terms = _terms(if_absent, if_position, if_filter, idempotency_key)
        with self._in_use() as engine:
            document = _scoped(
                checked_document(doc_id, vector, metadata, engine.schema), checked_namespace(namespace)
            )
            self._write(engine, Put(document, None, checked_expiry(expires_at, ttl), terms))

    def insert_many(
        self,
        documents: DocumentsLike,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
        atomic: bool = False,
        idempotency_key: str = "",
    ) -> InsertReport:
        """Store documents, a few hundred to one fsync.

        A document is (id, vector), (id, vector, metadata), a NewDocument, one as a lookup returned it, or a dict or
        dataclass with `id`, `vector` and entries of metadata. A pandas DataFrame or anything that speaks Arrow has
        them as columns (pykyro.model.frames).

        Those that do not say themselves when they go do so as `expires_at` or `ttl` say, see `insert`.
        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. What `documents` itself raises
        ends the call; the documents of earlier groups are stored, and a note of the error says how many.

        With `atomic` all are stored or none, up to 10,000 documents of 4 MB together; what one is refused for is
        raised. Only then may there be an `idempotency_key`.
        """
        terms = _terms(False, None, None, idempotency_key)
        intake = Intake(documents, checked_expiry(expires_at, ttl))
        if atomic:
            return self._insert_all(intake, checked_namespace(namespace), terms)
        check_is_atomic(terms)
        with self._in_use() as engine:
            try:
                self._insert_groups(engine, intake, checked_namespace(namespace))
            except BaseException as error:
                intake.note(error)
                raise
        return intake.checked_report()

    def _insert_all(self, intake: Intake, scope: str, terms: Terms | None) -> InsertReport:
        with self._in_use() as engine:
            batch = AtomicBatch[Put]()
            for put in intake.all(engine.schema):
                batch.add(put, content_bytes(put.document))
                put.document = _scoped(put.document, scope)
            if batch.documents:
                ack = engine.write(PutMany(batch.documents, terms))
                intake.position = self._written.note(ack.lsn)
                intake.inserted = len(batch.documents)
        return intake.report

    def _insert_groups(self, engine: Engine, intake: Intake, scope: str) -> None:
        for group in groups(
            intake.accepted(engine.schema),
            count_max=STREAM_GROUP_DOCUMENTS_MAX,
            bytes_max=STREAM_GROUP_BYTES_MAX,
            bytes_of=lambda put: document_bytes(put.document),
        ):
            for put in group:
                put.document = _scoped(put.document, scope)
            for put, outcome in zip(group, engine.commit(group), strict=True):
                if isinstance(outcome, KyroError):
                    intake.refuse(put.document.own_id, outcome)
                else:
                    intake.inserted += 1
                    intake.position = outcome.lsn
            self._written.note(intake.position)

    def update_metadata(
        self,
        doc_id: DocId,
        metadata: Metadata,
        *,
        merge: bool = False,
        namespace: str = "",
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
        if_position: int | None = None,
        if_filter: FilterLike | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Replace a document's metadata, or with `merge` lay these entries over it; False when it is not there.

        The document goes when it did, unless `expires_at` or `ttl` say otherwise, see `insert`; with math.inf it
        stays.
        """
        scope, expiry = Scope(namespace=checked_namespace(namespace)), checked_expiry(expires_at, ttl)
        terms = _terms(False, if_position, if_filter, idempotency_key)
        with self._in_use() as engine:
            own_id = checked_doc_id(doc_id, engine.schema)
            update = UpdateMetadata(own_id, checked_metadata(metadata), bool(merge), scope, expiry, terms)
            return self._write(engine, update) > 0

    def delete(
        self,
        doc_id: DocId,
        namespace: str = "",
        *,
        if_position: int | None = None,
        if_filter: FilterLike | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Remove a document; False when it was not there."""
        scope = Scope(namespace=checked_namespace(namespace))
        terms = _terms(False, if_position, if_filter, idempotency_key)
        with self._in_use() as engine:
            delete = Delete(checked_doc_id(doc_id, engine.schema), scope, terms)
            return self._write(engine, delete) > 0

    def delete_many(
        self,
        ids: Iterable[DocId] | None = None,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        idempotency_key: str = "",
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids; with an `idempotency_key` there are no more). A filter must name a
        condition. Raises ResourceExhausted for a filter that matches more documents than one call removes.
        """
        check_one_criterion(ids, filter)
        scope = Scope(namespace=checked_namespace(namespace))
        terms = _terms(False, None, None, idempotency_key)
        with self._in_use() as engine:
            if filter is not None:
                condition = parse_filter(filter)
                check_deletion_filter(condition)
                return self._write(engine, DeleteMatching(condition, scope, terms))
            doc_ids = checked_ids(ids or (), engine.schema)
            starts = range(0, len(doc_ids), STREAM_MESSAGES_MAX)
            check_is_one_call(len(starts), terms)
            return sum(
                self._write(engine, DeleteMany(doc_ids[at : at + STREAM_MESSAGES_MAX], scope, terms))
                for at in starts
            )


def _terms(
    if_absent: bool, if_position: int | None, if_filter: FilterLike | None, idempotency_key: str
) -> Terms | None:
    condition = None if if_filter is None else parse_filter(if_filter)
    return checked_terms(if_absent, if_position, condition, idempotency_key)


def _scoped(document: Document, namespace: str) -> Document:
    if not namespace:
        return document
    metadata = {**document.metadata, **Scope(namespace=namespace).constraints}
    return Document(document.doc_id, document.vector, metadata)
