"""What an operation changes, given the documents as they are and the operations before it in its group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kyrodb.engine.options import EngineOptions
from kyrodb.engine.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from kyrodb.engine.state import State
from kyrodb.errors import InvalidArgument, ResourceExhausted
from kyrodb.index.filter import matches
from kyrodb.limits import WAL_FRAME_BODY_BYTES_MAX
from kyrodb.storage.records import DeleteRecord, MetadataRecord, PutRecord, Record
from kyrodb.types import (
    OWNER_SHIFT,
    RESERVED_KEYS,
    TENANT_INDEX_KEY,
    Document,
    Key,
    Scope,
    key_doc_id,
    key_of,
    key_owner,
    owner_of,
)

_DELETES_MAX: Final = WAL_FRAME_BODY_BYTES_MAX // 32
"""Deletions that fit into one frame of the log, and so happen all or not at all."""


class Resolver:
    """Resolves the operations of one group in order.

    `_changed` holds the metadata of documents this group has touched already, None for those it deleted; all
    other documents are as the state has them.
    """

    def __init__(self, state: State, options: EngineOptions) -> None:
        self._state = state
        self._options = options
        self._changed: dict[Key, Mapping[str, str] | None] = {}
        self._documents = state.documents
        self._by_owner: Counter[int] = Counter()
        """What this group has added to the documents of each owner so far."""

    def resolve(self, operation: Operation) -> tuple[int, list[Record]]:
        """How many documents existed before, and the records to log; none when nothing changes.

        Raises ResourceExhausted when there is no room, InvalidArgument when a document contradicts itself about
        whose it is.
        """
        if isinstance(operation, Put):
            return self._put(operation)
        if isinstance(operation, UpdateMetadata):
            return self._update(operation)
        if isinstance(operation, Delete):
            return self._delete([operation.doc_id], operation.scope)
        if isinstance(operation, DeleteMany):
            return self._delete(operation.doc_ids, operation.scope)
        return self._delete_matching(operation)

    def _put(self, operation: Put) -> tuple[int, list[Record]]:
        document, key = operation.document, operation.document.key
        if document.tenant is not None or TENANT_INDEX_KEY in document.metadata:
            self._check_tenant(document)
        existed = self._exists(key)
        if not existed:
            if self._documents >= self._options.documents_max:
                raise ResourceExhausted(
                    f"HNSW index full: {self._documents} elements (max {self._options.documents_max}); delete "
                    "documents or raise hnsw.max_elements"
                )
            owner = key >> OWNER_SHIFT
            if operation.limit is not None and document.tenant is not None:
                present = self._state.tenants.of(document.tenant) + self._by_owner[owner]
                if present >= operation.limit.documents_max:
                    raise operation.limit.refusal()
            self._documents += 1
            self._by_owner[owner] += 1
        self._changed[key] = document.metadata
        return int(existed), [PutRecord(key, document.vector, document.metadata)]

    def _update(self, operation: UpdateMetadata) -> tuple[int, list[Record]]:
        key = key_of(operation.scope.tenant, operation.doc_id)
        stored = self._metadata(key, operation.scope)
        if stored is None:
            return 0, []
        reserved = {key: value for key, value in stored.items() if key in RESERVED_KEYS}
        kept = stored if operation.merge else {}
        metadata = {**kept, **operation.metadata, **reserved}
        self._changed[key] = metadata
        return 1, [MetadataRecord(key, metadata)]

    def _delete(self, doc_ids: Sequence[int], scope: Scope) -> tuple[int, list[Record]]:
        records: list[Record] = []
        for doc_id in dict.fromkeys(doc_ids):
            key = key_of(scope.tenant, doc_id)
            if not self._exists(key) if not scope.namespace else self._metadata(key, scope) is None:
                continue
            self._changed[key] = None
            self._by_owner[key_owner(key)] -= 1
            records.append(DeleteRecord(key))
        self._documents -= len(records)
        return len(records), records

    def _delete_matching(self, operation: DeleteMatching) -> tuple[int, list[Record]]:
        scope = operation.scope
        condition = self._state.condition(operation.filter, scope)
        found = {
            int(doc_id)
            for tier in self._state.version.oldest_first
            for doc_id in tier.doc_ids_matching(condition)
        }
        owner = owner_of(scope.tenant)
        for key, metadata in self._changed.items():
            if key_owner(key) != owner:
                continue
            if metadata is not None and (condition is None or matches(condition, metadata)):
                found.add(key_doc_id(key))
            else:
                found.discard(key_doc_id(key))
        if len(found) > _DELETES_MAX:
            raise ResourceExhausted(
                f"filter matches {len(found)} documents, more than {_DELETES_MAX} that one call deletes; narrow it"
            )
        return self._delete(sorted(found), Scope(scope.tenant))

    def _check_tenant(self, document: Document) -> None:
        """Refuse a document whose reserved metadata, which searches go by, names another tenant than its key."""
        tenant, named = document.tenant, document.metadata.get(TENANT_INDEX_KEY)
        if named != (None if tenant is None else str(tenant)):
            raise InvalidArgument(
                f"document {document.doc_id} is of tenant {tenant}, but its {TENANT_INDEX_KEY} is {named!r}",
                field="metadata",
            )
        if tenant is not None and tenant not in self._state.tenants:
            raise InvalidArgument(
                f"document {document.doc_id} is of tenant {tenant}, a number given to no tenant",
                field="tenant",
            )

    def _exists(self, key: Key) -> bool:
        if key in self._changed:
            return self._changed[key] is not None
        return self._state.locate(key) is not None

    def _metadata(self, key: Key, scope: Scope) -> Mapping[str, str] | None:
        """The document's metadata, or None when it is absent or out of scope."""
        if key in self._changed:
            metadata = self._changed[key]
        else:
            place = self._state.locate(key)
            metadata = None if place is None else place.metadata.whole()
        return metadata if metadata is not None and scope.admits(metadata) else None
