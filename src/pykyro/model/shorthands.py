"""Methods that stand for others, under names that people know; the same for all databases that are not awaited."""

from __future__ import annotations

from pykyro.model.answers import InsertReport
from pykyro.model.arguments import DocId, Metadata
from pykyro.model.documents import DocumentsLike
from pykyro.model.expiry import ExpiresAt, Ttl
from pykyro.model.filter_dict import FilterLike


class Shorthands:
    """Of what has the three methods that raise NotImplementedError here."""

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
        raise NotImplementedError

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
        raise NotImplementedError

    def count(self) -> int:
        raise NotImplementedError

    def upsert(
        self,
        documents: DocumentsLike,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
        atomic: bool = False,
        idempotency_key: str = "",
    ) -> InsertReport:
        """The same as `insert_many`, which replaces documents whose ids are there."""
        return self.insert_many(
            documents,
            namespace,
            expires_at=expires_at,
            ttl=ttl,
            atomic=atomic,
            idempotency_key=idempotency_key,
        )

    def update(
        self,
        doc_id: DocId,
        metadata: Metadata,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
        if_position: int | None = None,
        if_filter: FilterLike | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Lay these entries over a document's metadata, as `dict.update` does; False when it is not there."""
        return self.update_metadata(
            doc_id,
            metadata,
            merge=True,
            namespace=namespace,
            expires_at=expires_at,
            ttl=ttl,
            if_position=if_position,
            if_filter=if_filter,
            idempotency_key=idempotency_key,
        )

    def __len__(self) -> int:
        """How many documents there are, as `count` says."""
        return self.count()

    def __bool__(self) -> bool:
        """True, however many documents there are: an empty database is no missing one."""
        return True
