"""What an operation changes, given the documents as they are and the operations before it in its group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pykyro.engine.capacity import Capacity
from pykyro.engine.refusals import check_put, refusal_of
from pykyro.engine.request_costs import RequestCosts
from pykyro.engine.request_keys import known_answer, owner_and_key
from pykyro.engine.resolve_text import delete_texts, key_of_text, text_of
from pykyro.engine.state import State
from pykyro.index.metadata.simplify import simplified
from pykyro.model.conditions import Terms, is_elsewhere, is_not_there, is_there, matches_not
from pykyro.model.errors import KyroError, ResourceExhausted
from pykyro.model.expiry import Expiry
from pykyro.model.filter import matches
from pykyro.model.limits import WAL_FRAME_BODY_BYTES_MAX
from pykyro.model.metadata_bounds import UTF8_BYTES_MAX, check_updated
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.requests import (
    Ack,
    Delete,
    DeleteMany,
    DeleteMatching,
    Operation,
    Put,
    PutMany,
    UpdateMetadata,
)
from pykyro.model.types import (
    EVERYTHING,
    EXPIRES_AT_KEY,
    OWNER_SHIFT,
    RESERVED_KEYS,
    TENANT_INDEX_KEY,
    TEXT_ID_KEY,
    AnyId,
    Key,
    Scope,
    Vector,
    key_doc_id,
    key_of,
    key_owner,
    owner_of,
)
from pykyro.storage.request_keys import Acknowledged
from pykyro.storage.wal.records import (
    DeleteRecord,
    KeyRecord,
    MergeRecord,
    MetadataRecord,
    PutRecord,
    Record,
)

_DELETES_MAX: Final = WAL_FRAME_BODY_BYTES_MAX // 32
"""Deletions that fit into one frame of the log, and so happen all or not at all."""


@dataclass(slots=True)
class _Merged:
    """Entries that are set in the metadata which the state has of a document."""

    changes: dict[str, str]


@dataclass(slots=True)
class GroupChanges:
    """What the operations of one group have changed so far, for those behind them.

    `changed` holds the metadata of documents this group has touched already, None for those it deleted; all
    other documents are as the state has them. `documents` counts all there are, and `by_owner` what the group has
    added to those of each owner. `has_merges` says whether there is a MergeRecord, and `merged_bytes` how much
    metadata the merged documents have, which is not in their records, but held by whoever works on the group.
    `has_expiry` says whether a document was given an instant at which it goes, by `wall_us`.
    `vectors` are those of documents this group has put, where ids are text: then a document may move.
    """

    state: State
    documents: int
    wall_us: Callable[[], int]
    capacity: Capacity
    default_expiry: Expiry | None
    """Of documents that are put without one."""
    changed: dict[Key, Mapping[str, str] | _Merged | None] = field(default_factory=dict)
    by_owner: Counter[int] = field(default_factory=Counter)
    has_merges: bool = False
    merged_bytes: int = 0
    has_expiry: bool = False
    vectors: dict[Key, Vector] = field(default_factory=dict)
    keyed: dict[tuple[int, bytes], tuple[Ack, KeyRecord]] = field(default_factory=dict)
    """By owner and idempotency key the answers that are to be known by them."""

    def resolve(self, operation: Operation) -> tuple[int, list[Record]]:
        """How many documents existed before, and the records to log; none when nothing changes. Raises KyroError."""
        if isinstance(operation, Put):
            return self._put(operation)
        if isinstance(operation, PutMany):
            return self._put_many(operation)
        if isinstance(operation, UpdateMetadata):
            return self._update(operation)
        if isinstance(operation, Delete):
            if operation.terms is not None:
                key = self._key(operation.scope.tenant, operation.doc_id)
                self.require(key, operation.doc_id, operation.terms, operation.scope)
            return self._delete([operation.doc_id], operation.scope)
        if isinstance(operation, DeleteMany):
            return self._delete(operation.doc_ids, operation.scope)
        if isinstance(operation, DeleteMatching):
            return self._delete_matching(operation)
        raise TypeError(f"{type(operation).__name__} is no operation")

    def note(self, records: Sequence[Record]) -> None:
        """Note what the records change, for the operations behind them."""
        for record in records:
            key = record.key
            if isinstance(record, DeleteRecord):
                self.changed[key] = None
                self.documents -= 1
                self.by_owner[key >> OWNER_SHIFT] -= 1
                continue
            if isinstance(record, MergeRecord):
                self._note_merge(record)
                continue
            self.changed[key] = record.metadata
            if self.state.texts is not None and isinstance(record, PutRecord):
                self.vectors[key] = record.vector
            if isinstance(record, PutRecord) and record.is_new:
                self.documents += 1
                self.by_owner[key >> OWNER_SHIFT] += 1

    def answered_before(self, operation: Operation) -> Ack | KyroError | None:
        """The answer to an operation whose idempotency key is known, None when it is new."""
        try:
            owner, key = owner_and_key(operation)
            if (earlier := self.keyed.get((owner, key))) is not None:
                ack, record = earlier
                known_answer(Acknowledged(self.state.position, record), operation)
                return ack
            known = self.state.keys.of(owner, key)
            return None if known is None else known_answer(known, operation)
        except Exception as error:
            return refusal_of(operation, error)

    def require(self, key: Key, doc_id: AnyId, terms: Terms, scope: Scope = EVERYTHING) -> None:
        """Refuse an operation whose conditions the document, as far as it is in the namespace of `scope`, does not
        meet at this moment. Raises AlreadyExists, Aborted."""
        if not terms.is_conditional:
            return
        if terms.if_absent:
            if self.exists(key):
                raise is_there(doc_id)
            return
        stored = self.now(key)
        if stored is None or (scope.namespace and not scope.admits(stored)):
            raise is_not_there(doc_id, terms)
        if terms.if_position is not None:
            place = None if key in self.changed else self.state.locate(key)
            position = None if place is None else place.position
            if position != terms.if_position:
                raise is_elsewhere(doc_id, position, terms.if_position)
        if terms.if_filter is not None and not matches(self.state.meant(terms.if_filter), stored):
            raise matches_not(doc_id)

    def _note_merge(self, record: MergeRecord) -> None:
        before = self.changed.get(record.key)
        if before is None:
            self.changed[record.key] = _Merged(dict(record.changes))
        elif isinstance(before, _Merged):
            before.changes.update(record.changes)
        else:
            self.changed[record.key] = {**before, **record.changes}

    def expiring(self, expiry: Expiry) -> dict[str, str]:
        """The entries of a document that is written now and goes as `expiry` says."""
        entries = expiry.entries(self.wall_us())
        self.has_expiry = self.has_expiry or bool(entries)
        return entries

    def _put(self, operation: Put) -> tuple[int, list[Record]]:
        """Whether the document existed before, and the record to log. A new document is counted against the bound of
        the database and that of its tenant here, and nowhere else: under the lock of the group that stores it, so
        the bounds are exact however many callers race for the last place."""
        document, state = operation.document, self.state
        tenant, key = document.tenant, document.doc_id
        if tenant is not None:
            key |= tenant + 1 << OWNER_SHIFT
        is_plain = document.vector.shape == (state.dimension,) and TENANT_INDEX_KEY not in document.metadata
        if not is_plain or tenant is not None:
            check_put(document, state)
        if state.texts is not None:
            key, existed = key_of_text(self, state.texts, tenant, text_of(document))
        else:
            metadata = self.changed.get(key, False)
            existed = state.locate(key) is not None if metadata is False else metadata is not None
        if operation.terms is not None:
            self.require(key, document.own_id, operation.terms)
        if not existed:
            if self.documents >= self.capacity.documents_max:
                raise self.capacity.refusal(self.documents)
            if operation.limit is not None and tenant is not None:
                present = state.tenants.of(tenant) + self.by_owner[tenant + 1]
                if present >= operation.limit.documents_max:
                    raise operation.limit.refusal()
        stored, expiry = document.metadata, operation.expiry or self.default_expiry
        if expiry is not None:
            stored = {**stored, **self.expiring(expiry)}
        return int(existed), [PutRecord(key, document.vector, stored, encode_metadata(stored), not existed)]

    def _put_many(self, operation: PutMany) -> tuple[int, list[Record]]:
        """Several that are stored all or none, in one frame of the log. Each is resolved as if those before it were
        stored, so that the bounds hold for all together."""
        tried = self.copy()
        records: list[Record] = []
        existed_before = 0
        for put in {(put.document.tenant, put.document.own_id): put for put in operation.puts}.values():
            existed, record = tried._put(put)
            tried.note(record)
            existed_before += existed
            records += record
        self.has_expiry = tried.has_expiry
        return existed_before, records

    def _update(self, operation: UpdateMetadata) -> tuple[int, list[Record]]:
        key = self._key(operation.scope.tenant, operation.doc_id)
        if operation.terms is not None:
            self.require(key, operation.doc_id, operation.terms, operation.scope)
        stored = self.metadata_in(key, operation.scope)
        if stored is None:
            return 0, []
        reserved = {key: value for key, value in stored.items() if key in RESERVED_KEYS}
        before = dict(stored) if operation.merge else {}
        if operation.expiry is not None:
            # Not said as a merge, which cannot take an entry away.
            before.pop(EXPIRES_AT_KEY, None)
            reserved.pop(EXPIRES_AT_KEY, None)
            reserved |= self.expiring(operation.expiry)
        elif operation.merge and not self._is_elsewhere(key):
            return 1, [self._merge(key, stored, {**operation.metadata, **reserved})]
        metadata = {**before, **operation.metadata, **reserved}
        if self._is_elsewhere(key):
            return 1, [self._whole(key, stored, metadata)]
        record = MetadataRecord(key, metadata, encode_metadata(metadata))
        check_updated(stored, record.metadata, len(record.wire))
        return 1, [record]

    def _is_elsewhere(self, key: Key) -> bool:
        """Whether reading the log again would take a look at another machine to know what this changes."""
        state = self.state
        if (state.version.remote is None and not state.moves_out) or key in self.changed:
            return False
        place = state.locate(key)
        return place is not None and place.tier is not state.version.active

    def _whole(self, key: Key, stored: Mapping[str, str], metadata: Mapping[str, str]) -> PutRecord:
        """The document as the change leaves it."""
        place = self.state.locate(key)
        assert place is not None
        wire = encode_metadata(metadata)
        check_updated(stored, metadata, len(wire))
        return PutRecord(key, place.vector, metadata, wire)

    def _merge(self, key: Key, stored: Mapping[str, str], wanted: Mapping[str, str]) -> MergeRecord:
        """The record of what becomes another; the metadata that comes of it is looked at here, and let go of."""
        changes = {name: value for name, value in wanted.items() if _differ(stored.get(name), value)}
        merged = {**stored, **changes}
        letters = sum(map(len, merged)) + sum(map(len, merged.values()))
        check_updated(stored, merged, UTF8_BYTES_MAX * letters)
        self.has_merges = True
        self.merged_bytes += letters
        return MergeRecord(key, changes, encode_metadata(changes))

    def _key(self, tenant: int | None, doc_id: AnyId) -> Key:
        """Of the document that this tenant knows as `doc_id`, whether it is there or not."""
        texts = self.state.texts
        if texts is not None:
            return key_of_text(self, texts, tenant, str(doc_id))[0]
        return key_of(tenant, int(doc_id))

    def _delete(self, doc_ids: Sequence[AnyId], scope: Scope) -> tuple[int, list[Record]]:
        texts = self.state.texts
        if texts is not None:
            return delete_texts(self, texts, map(str, doc_ids), scope)
        records: list[Record] = []
        for doc_id in dict.fromkeys(doc_ids):
            key = key_of(scope.tenant, int(doc_id))
            if self.metadata_in(key, scope) is not None if scope.namespace else self.exists(key):
                records.append(DeleteRecord(key))  # a place where tests plant a defect
        return len(records), records

    def _delete_matching(self, operation: DeleteMatching) -> tuple[int, list[Record]]:
        scope = operation.scope
        condition = self.state.condition(simplified(operation.filter), scope)
        if condition is not None:
            RequestCosts(self.state).filter_us(condition)
        found = {
            int(doc_id)
            for tier in self.state.version.oldest_first
            for doc_id in tier.doc_ids_matching(condition)
        }
        owner = owner_of(scope.tenant)
        for key in self.changed:
            if key_owner(key) != owner:
                continue
            metadata = self.now(key)
            if metadata is not None and (condition is None or matches(condition, metadata)):
                found.add(key_doc_id(key))
            else:
                found.discard(key_doc_id(key))
        if len(found) > _DELETES_MAX:
            raise ResourceExhausted(
                f"filter matches {len(found)} documents, more than {_DELETES_MAX} that one call deletes; narrow it"
            )
        if self.state.texts is None:
            return self._delete(sorted(found), Scope(scope.tenant))
        there = (self.now(key_of(scope.tenant, doc_id)) for doc_id in sorted(found))
        return self._delete([metadata[TEXT_ID_KEY] for metadata in there if metadata], Scope(scope.tenant))

    def exists(self, key: Key) -> bool:
        """Whether there is a document of this key, as the group leaves it."""
        if key in self.changed:
            return self.changed[key] is not None
        return self.state.locate(key) is not None

    def metadata_in(self, key: Key, scope: Scope) -> Mapping[str, str] | None:
        """The document's metadata, or None when it is absent or out of scope."""
        metadata = self.now(key)
        return metadata if metadata is not None and scope.admits(metadata) else None

    def copy(self) -> GroupChanges:
        """Changes of their own, which begin as these are."""
        changed: dict[Key, Mapping[str, str] | _Merged | None] = {}
        for key, one in self.changed.items():
            changed[key] = _Merged(dict(one.changes)) if isinstance(one, _Merged) else one
        return replace(self, changed=changed, by_owner=Counter(self.by_owner), vectors=dict(self.vectors))

    def now(self, key: Key) -> Mapping[str, str] | None:
        """The metadata as the group has left it so far, or None when the document is absent."""
        changed = self.changed.get(key)
        if key in self.changed and not isinstance(changed, _Merged):
            return changed
        place = self.state.locate(key)
        if place is None:
            return None
        return place.metadata.whole() | (changed.changes if isinstance(changed, _Merged) else {})


def _differ(before: str | None, after: str) -> bool:
    """Whether two values are not the same: 7 and "7" have one text form."""
    return before != after or type(before) is not type(after)
