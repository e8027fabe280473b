"""What an operation changes, given the documents as they are and the operations before it in its group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kyrodb.engine.capacity import Capacity
from kyrodb.engine.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from kyrodb.engine.state import State
from kyrodb.errors import ResourceExhausted
from kyrodb.index.filter import matches, with_constraints
from kyrodb.limits import WAL_FRAME_BODY_BYTES_MAX
from kyrodb.storage.records import DeleteRecord, MetadataRecord, PutRecord, Record
from kyrodb.types import RESERVED_KEYS, TENANT_SHIFT, Scope

_DELETES_MAX: Final = WAL_FRAME_BODY_BYTES_MAX // 32
"""Deletions that fit into one frame of the log, and so happen all or not at all."""


class Resolver:
    """Resolves the operations of one group in order.

    `_changed` holds the metadata of documents this group has touched already, None for those it deleted; all
    other documents are as the state has them.
    """

    def __init__(self, state: State, capacity: Capacity) -> None:
        self._state = state
        self._capacity = capacity
        self._changed: dict[int, Mapping[str, str] | None] = {}
        self._documents = state.documents
        self._by_tenant: Counter[int] = Counter()
        """What this group has added to the documents of each tenant so far."""

    def resolve(self, operation: Operation) -> tuple[int, list[Record]]:
        """How many documents existed before, and the records to log; none when nothing changes.

        Raises ResourceExhausted when there is no room.
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
        document = operation.document
        existed = self._exists(document.doc_id)
        if not existed:
            if self._documents >= self._capacity.documents_max:
                raise self._capacity.refusal(self._documents)
            tenant = document.doc_id >> TENANT_SHIFT
            if operation.limit is not None:
                present = self._state.tenants.of(tenant) + self._by_tenant[tenant]
                if present >= operation.limit.documents_max:
                    raise operation.limit.refusal()
            self._documents += 1
            self._by_tenant[tenant] += 1
        self._changed[document.doc_id] = document.metadata
        return int(existed), [PutRecord(document.doc_id, document.vector, document.metadata)]

    def _update(self, operation: UpdateMetadata) -> tuple[int, list[Record]]:
        stored = self._metadata(operation.doc_id, operation.scope)
        if stored is None:
            return 0, []
        reserved = {key: value for key, value in stored.items() if key in RESERVED_KEYS}
        kept = stored if operation.merge else {}
        metadata = {**kept, **operation.metadata, **reserved}
        self._changed[operation.doc_id] = metadata
        return 1, [MetadataRecord(operation.doc_id, metadata)]

    def _delete(self, doc_ids: Sequence[int], scope: Scope) -> tuple[int, list[Record]]:
        records: list[Record] = []
        for doc_id in dict.fromkeys(doc_ids):
            if not self._exists(doc_id) if scope.constraints == {} else self._metadata(doc_id, scope) is None:
                continue
            self._changed[doc_id] = None
            self._by_tenant[doc_id >> TENANT_SHIFT] -= 1
            records.append(DeleteRecord(doc_id))
        self._documents -= len(records)
        return len(records), records

    def _delete_matching(self, operation: DeleteMatching) -> tuple[int, list[Record]]:
        condition = with_constraints(operation.filter, operation.scope.constraints)
        found = {
            int(doc_id)
            for tier in self._state.version.oldest_first
            for doc_id in tier.doc_ids_matching(condition)
        }
        found.difference_update(self._changed)
        for doc_id, metadata in self._changed.items():
            if metadata is not None and (condition is None or matches(condition, metadata)):
                found.add(doc_id)
        if len(found) > _DELETES_MAX:
            raise ResourceExhausted(
                f"filter matches {len(found)} documents, more than {_DELETES_MAX} that one call deletes; narrow it"
            )
        return self._delete(sorted(found), Scope())

    def _exists(self, doc_id: int) -> bool:
        if doc_id in self._changed:
            return self._changed[doc_id] is not None
        return self._state.locate(doc_id) is not None

    def _metadata(self, doc_id: int, scope: Scope) -> Mapping[str, str] | None:
        """The document's metadata, or None when it is absent or out of scope."""
        if doc_id in self._changed:
            metadata = self._changed[doc_id]
        else:
            place = self._state.locate(doc_id)
            metadata = None if place is None else place.metadata.whole()
        return metadata if metadata is not None and scope.admits(metadata) else None
