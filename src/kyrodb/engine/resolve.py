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

from kyrodb.engine.metadata_bounds import check_updated
from kyrodb.engine.options import EngineOptions
from kyrodb.engine.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from kyrodb.engine.state import State
from kyrodb.errors import InvalidArgument, KyroError, ResourceExhausted
from kyrodb.index.filter import matches, with_constraints
from kyrodb.limits import WAL_FRAME_BODY_BYTES_MAX
from kyrodb.storage.records import DeleteRecord, MetadataRecord, PutRecord, Record, encode_records
from kyrodb.types import RESERVED_KEYS, TENANT_SHIFT, Scope

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

    def __init__(self, state: State, options: EngineOptions) -> None:
        self._state = state
        self._options = options
        self._changed: dict[int, Mapping[str, str] | None] = {}
        self._documents = state.documents
        self._by_tenant: Counter[int] = Counter()
        """What this group has added to the documents of each tenant so far."""

    def resolve(self, operation: Operation) -> Resolved | KyroError:
        """What the operation comes to, or why it is refused; then it has changed nothing, here either."""
        try:
            existed, records = self._records(operation)
            content = _content(records)
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
            doc_id = record.doc_id
            if isinstance(record, DeleteRecord):
                self._changed[doc_id] = None
                self._documents -= 1
                self._by_tenant[doc_id >> TENANT_SHIFT] -= 1
                continue
            self._changed[doc_id] = record.metadata
            if not existed:
                self._documents += 1
                self._by_tenant[doc_id >> TENANT_SHIFT] += 1

    def _put(self, operation: Put) -> tuple[int, list[Record]]:
        document = operation.document
        if document.vector.shape != (self._options.dimension,):
            raise InvalidArgument(
                f"vector has shape {document.vector.shape}; the database holds vectors of "
                f"{self._options.dimension} components",
                field="vector",
            )
        existed = self._exists(document.doc_id)
        if not existed:
            if self._documents >= self._options.documents_max:
                raise ResourceExhausted(
                    f"HNSW index full: {self._documents} elements (max {self._options.documents_max}); delete "
                    "documents or raise hnsw.max_elements"
                )
            if operation.limit is not None:
                tenant = document.doc_id >> TENANT_SHIFT
                present = self._state.tenants.of(tenant) + self._by_tenant[tenant]
                if present >= operation.limit.documents_max:
                    raise operation.limit.refusal()
        return int(existed), [PutRecord(document.doc_id, document.vector, document.metadata)]

    def _update(self, operation: UpdateMetadata) -> tuple[int, list[Record]]:
        stored = self._metadata(operation.doc_id, operation.scope)
        if stored is None:
            return 0, []
        reserved = {key: value for key, value in stored.items() if key in RESERVED_KEYS}
        kept = stored if operation.merge else {}
        record = MetadataRecord(operation.doc_id, {**kept, **operation.metadata, **reserved})
        check_updated(stored, record.metadata, len(record.wire))
        return 1, [record]

    def _delete(self, doc_ids: Sequence[int], scope: Scope) -> tuple[int, list[Record]]:
        everywhere = scope.constraints == {}
        records: list[Record] = []
        for doc_id in dict.fromkeys(doc_ids):
            if self._exists(doc_id) if everywhere else self._metadata(doc_id, scope) is not None:
                records.append(DeleteRecord(doc_id))  # noqa: PERF401  # a place where tests plant a defect
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


def _content(records: Sequence[Record]) -> bytes:
    """The frame that holds the records. Raises ResourceExhausted when no frame is as long as that."""
    if not records:
        return b""
    content = encode_records(records)
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
