"""What an operation changes, given the documents as they are and the operations before it in its group.

Everything that can fail because of one operation happens here, before the log is touched: so it fails that operation
and no other.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pykyro.engine.capacity import Capacity
from pykyro.engine.state import State
from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.filter import matches
from pykyro.model.limits import WAL_FRAME_BODY_BYTES_MAX
from pykyro.model.metadata_bounds import check_updated
from pykyro.model.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from pykyro.model.types import (
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
from pykyro.storage.wal.records import DeleteRecord, MetadataRecord, PutRecord, Record, encode_records

_log: Final = logging.getLogger(__name__)

_DELETES_MAX: Final = WAL_FRAME_BODY_BYTES_MAX // 32
"""Deletions that fit into one frame of the log, and so happen all or not at all."""


@dataclass(slots=True)
class Resolved:
    """What one operation comes to: how many documents existed before, the records that change something, and the
    frame of the log that holds them. No records, no frame."""

    existed: int
    records: list[Record]
    content: bytes


class Resolver:
    """Resolves the operations of one group in order.

    `_changed` holds the metadata of documents this group has touched already, None for those it deleted; all
    other documents are as the state has them.
    """

    def __init__(self, state: State, capacity: Capacity) -> None:
        self._state = state
        self._capacity = capacity
        self._changed: dict[Key, Mapping[str, str] | None] = {}
        self._documents = state.documents
        self._by_owner: Counter[int] = Counter()
        """What this group has added to the documents of each owner so far."""

    def resolve(self, operation: Operation) -> Resolved | KyroError:
        """What the operation comes to, or why it is refused; then it has changed nothing, here either."""
        try:
            existed, records = self._records(operation)
            content = _content(records, tenanted=self._state.tenanted)
        except KyroError as refusal:
            return refusal
        except MemoryError:
            return ResourceExhausted("not enough memory to prepare the write; nothing was changed")
        except (UnicodeEncodeError, struct.error) as error:
            return InvalidArgument(f"{type(operation).__name__} holds what cannot be stored: {error}")
        except Exception as error:
            return _unforeseen(operation, error)
        self._follow(existed, records)
        return Resolved(existed, records, content)

    def _records(self, operation: Operation) -> tuple[int, list[Record]]:
        """How many documents existed before, and the records to log; none when nothing changes."""
        if isinstance(operation, Put):
            return self._put(operation)
        if isinstance(operation, UpdateMetadata):
            return self._update(operation)
        if isinstance(operation, Delete):
            return self._delete([operation.doc_id], operation.scope)
        if isinstance(operation, DeleteMany):
            return self._delete(operation.doc_ids, operation.scope)
        return self._delete_matching(operation)

    def _follow(self, existed: int, records: Sequence[Record]) -> None:
        """Note what the records change, for the operations behind them."""
        for record in records:
            key = record.key
            if isinstance(record, DeleteRecord):
                self._changed[key] = None
                self._documents -= 1
                self._by_owner[key >> OWNER_SHIFT] -= 1
                continue
            self._changed[key] = record.metadata
            if not existed:
                self._documents += 1
                self._by_owner[key >> OWNER_SHIFT] += 1

    def _put(self, operation: Put) -> tuple[int, list[Record]]:
        document, key = operation.document, operation.document.key
        if document.vector.shape != (self._state.dimension,):
            raise InvalidArgument(
                f"vector has shape {document.vector.shape}; the database holds vectors of "
                f"{self._state.dimension} components",
                field="vector",
            )
        if document.tenant is not None or TENANT_INDEX_KEY in document.metadata:
            self._check_tenant(document)
        existed = self._exists(key)
        if not existed:
            if self._documents >= self._capacity.documents_max:
                raise self._capacity.refusal(self._documents)
            if operation.limit is not None and document.tenant is not None:
                present = self._state.tenants.of(document.tenant) + self._by_owner[key >> OWNER_SHIFT]
                if present >= operation.limit.documents_max:
                    raise operation.limit.refusal()
        return int(existed), [PutRecord(key, document.vector, document.metadata)]

    def _update(self, operation: UpdateMetadata) -> tuple[int, list[Record]]:
        key = key_of(operation.scope.tenant, operation.doc_id)
        stored = self._metadata(key, operation.scope)
        if stored is None:
            return 0, []
        reserved = {key: value for key, value in stored.items() if key in RESERVED_KEYS}
        kept = stored if operation.merge else {}
        record = MetadataRecord(key, {**kept, **operation.metadata, **reserved})
        check_updated(stored, record.metadata, len(record.wire))
        return 1, [record]

    def _delete(self, doc_ids: Sequence[int], scope: Scope) -> tuple[int, list[Record]]:
        records: list[Record] = []
        for doc_id in dict.fromkeys(doc_ids):
            key = key_of(scope.tenant, doc_id)
            if self._metadata(key, scope) is not None if scope.namespace else self._exists(key):
                records.append(DeleteRecord(key))  # a place where tests plant a defect
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


def _content(records: Sequence[Record], *, tenanted: bool) -> bytes:
    """The frame that holds the records. Raises ResourceExhausted when no frame is as long as that."""
    if not records:
        return b""
    content = encode_records(records, tenanted=tenanted)
    if len(content) >= WAL_FRAME_BODY_BYTES_MAX:
        raise ResourceExhausted(
            f"the write takes {len(content)} bytes in the log, which holds at most {WAL_FRAME_BODY_BYTES_MAX - 1} "
            f"of one operation; it changes {len(records)} documents: change fewer at once"
        )
    return content


def _unforeseen(operation: Operation, error: Exception) -> KyroError:
    """Why an operation is refused that came in a form nobody should have let through, or that met a fault of ours."""
    _log.error("%s refused, nothing was changed", type(operation).__name__, exc_info=error)
    return KyroError(
        f"{type(operation).__name__} could not be prepared, and nothing was changed: "
        f"{type(error).__name__}: {error}"
    )
