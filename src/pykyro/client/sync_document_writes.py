"""The documents of one collection of a server: how they are stored, changed and removed; see calls.py."""

from __future__ import annotations

from collections.abc import Iterable

from pykyro.client import write_calls
from pykyro.client.calls import FilterArgument, Result, Steps
from pykyro.model.answers import (
    InsertReport,
)
from pykyro.model.arguments import DocId, Metadata, VectorLike
from pykyro.model.documents import DocumentsLike
from pykyro.model.expiry import ExpiresAt, Ttl, checked_expiry
from pykyro.model.last_position import LastPosition
from pykyro.model.shorthands import Shorthands


class DocumentWrites(Shorthands):
    """The writes of a collection. Any thread may call any method."""

    def __init__(self) -> None:
        self._written = LastPosition()

    def _run(self, steps: Steps[Result]) -> Result:
        """Make the calls of a method, for this collection; what it returns."""
        raise NotImplementedError

    @property
    def position(self) -> int:
        """The position of the last write that was acknowledged through this object, 0 before the first: a read with
        it as `min_position` sees that write, whoever answers."""
        return self._written.value

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
        if_filter: FilterArgument | None = None,
        idempotency_key: str = "",
    ) -> None:
        """Store a document, or replace the one with its id.

        It goes at `expires_at`, a datetime with a zone or seconds since the epoch, or after `ttl`, a timedelta or
        seconds; with neither after the collection's default_ttl, and with math.inf never. Raises AlreadyExists and
        Aborted when a condition does not hold.
        """
        options = write_calls.write_options(if_absent, if_position, if_filter, idempotency_key)
        expiry = checked_expiry(expires_at, ttl)
        self._run(write_calls.insert(self._written, doc_id, vector, metadata, namespace, expiry, options))

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
        """Store documents, in streams.

        A document is (id, vector), (id, vector, metadata), a NewDocument, one as a lookup returned it, or a dict or
        dataclass with `id`, `vector` and entries of metadata. A pandas DataFrame or anything that speaks Arrow has
        them as columns (pykyro.model.frames).

        Those that do not say themselves when they go do so as `expires_at` or `ttl` say, see `insert`.
        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. When the call fails, a note of
        the error says how many documents are stored.

        With `atomic` all are stored or none, up to 10,000 documents of 4 MB together; what one is refused for is
        raised. Only then may there be an `idempotency_key`.
        """
        expiry = checked_expiry(expires_at, ttl)
        return self._run(
            write_calls.insert_many(
                self._written, documents, namespace, expiry, bool(atomic), idempotency_key
            )
        )

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
        if_filter: FilterArgument | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Replace a document's metadata, or with `merge` lay these entries over it; False when it is not there.

        The document goes when it did, unless `expires_at` or `ttl` say otherwise, see `insert`; with math.inf it
        stays.
        """
        options = write_calls.write_options(False, if_position, if_filter, idempotency_key)
        expiry = checked_expiry(expires_at, ttl)
        return self._run(
            write_calls.update_metadata(self._written, doc_id, metadata, merge, namespace, expiry, options)
        )

    def delete(
        self,
        doc_id: DocId,
        namespace: str = "",
        *,
        if_position: int | None = None,
        if_filter: FilterArgument | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Remove a document; False when it was not there."""
        options = write_calls.write_options(False, if_position, if_filter, idempotency_key)
        return self._run(write_calls.delete(self._written, doc_id, namespace, options))

    def delete_many(
        self,
        ids: Iterable[DocId] | None = None,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        idempotency_key: str = "",
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids; with an `idempotency_key` there are no more). A filter must name a
        condition.
        """
        options = write_calls.write_options(idempotency_key=idempotency_key)
        return self._run(write_calls.delete_many(self._written, ids, filter, namespace, options))

    def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        return self._run(write_calls.clear(self._written, namespace))
