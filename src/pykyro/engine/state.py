"""The documents as they are now: which tiers there are, and how a record of the log changes them.

Readers take `State.version` once and hold it; the one writer (under the write path's lock) edits tiers in place
in an order that never hides a document (see hot_tier.py), and replaces the version when the set of tiers
changes. Recovery and live writes go through the same `apply`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pykyro.engine.memory import EngineMemory
from pykyro.engine.request_keys import RequestKeys
from pykyro.engine.tenant_counts import TenantCounts
from pykyro.engine.text_ids import TextKeys, text_id_of
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.engine.tiers.stored_metadata import TierMetadata
from pykyro.engine.tiers.tier import SearchTier
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.model.errors import DataDamaged
from pykyro.model.expiry import NEVER_US, instant_us_of
from pykyro.model.filter import And, Filter, Not, Range, strict, with_constraints
from pykyro.model.limits import DOC_ID_MAX
from pykyro.model.types import LSN, TENANT_INDEX_KEY, Key, Metric, Scope, Vector, key_doc_id
from pykyro.storage.wal.records import DeleteRecord, MergeRecord, PutRecord, Record

if TYPE_CHECKING:
    from pykyro.engine.remote.remote_tier import RemoteTier

_OF_NO_TENANT: Final = Not(Range(TENANT_INDEX_KEY, None))


class Version:
    """The tiers at one moment, each older than the next. `frozen` are hot tiers being sealed. Never changed."""

    __slots__ = ("active", "cold", "frozen", "newest_first", "oldest_first", "remote", "sealed")

    def __init__(
        self,
        cold: tuple[ColdSegment, ...],
        frozen: tuple[HotTier, ...],
        active: HotTier,
        remote: RemoteTier | None = None,
    ) -> None:
        """`remote` holds sealed documents that are not in segments here."""
        self.cold = cold
        self.remote = remote
        self.sealed: tuple[SearchTier, ...] = cold if remote is None else (remote, *cold)
        self.frozen = frozen
        self.active = active
        self.oldest_first: tuple[SearchTier, ...] = (*self.sealed, *frozen, active)
        self.newest_first = self.oldest_first[::-1]

    def but(
        self,
        *,
        cold: Iterable[ColdSegment] | None = None,
        frozen: Iterable[HotTier] | None = None,
        active: HotTier | None = None,
        remote: RemoteTier | None = None,
    ) -> Version:
        """The same but for what is given."""
        return Version(
            self.cold if cold is None else tuple(cold),
            self.frozen if frozen is None else tuple(frozen),
            self.active if active is None else active,
            self.remote if remote is None else remote,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a live document is."""

    tier: SearchTier
    row: int

    @property
    def vector(self) -> Vector:
        return self.tier.vector(self.row)

    @property
    def metadata(self) -> TierMetadata:
        return self.tier.metadata(self.row)

    @property
    def position(self) -> LSN:
        return self.tier.position_of(self.row)


class Expiring(NamedTuple):
    """A live document that is due, and where it is."""

    tier: SearchTier
    row: int
    key: Key


class State:
    """Tiers, count of live documents, and the position they are true at."""

    def __init__(
        self,
        dimension: int,
        metric: Metric,
        segments: Sequence[ColdSegment],
        position: LSN,
        memory: EngineMemory,
        *,
        typed_values: bool = False,
        may_expire: bool = False,
        texts: TextKeys | None = None,
        remote: RemoteTier | None = None,
        words: CollectionWords | None = None,
    ) -> None:
        """`may_expire` says whether any document has an instant at which it goes."""
        self.dimension = dimension
        self._metric = metric
        self._memory = memory
        self._typed_values = typed_values
        self.words = words
        """How words are found; None where none are kept."""
        self.texts = texts
        """The keys of ids; None where ids are integers."""
        self.chain_moves = 0
        """Counts up before and after documents of a chain of text ids move, so it is odd while they do."""
        self.version = Version(tuple(segments), (), self.new_hot_tier(), remote)
        self.documents = sum(segment.live for segment in segments) + (0 if remote is None else remote.live)
        self.tenants = TenantCounts()
        self.keys = RequestKeys(memory.request_keys)
        """Idempotency keys of acknowledged writes."""
        self.position = position
        self.moves_out = False
        """Whether sealed documents are about to be elsewhere: then an update is logged as the whole document already,
        as it is where they are."""
        self.mutations_since_freeze = 0
        self._moves = 0
        self.may_expire = may_expire
        self.expires_from_us = self.next_expiry_us(0) if may_expire else NEVER_US
        """No live document goes before this instant."""

    def new_hot_tier(self) -> HotTier:
        memory = self._memory
        return HotTier(self.dimension, self._metric, memory.hot_tier, memory.filter_cache, self.words)

    @property
    def tenanted(self) -> bool:
        """Whether there are tenants. There are before the first document of one is written, and then for ever."""
        return bool(self.tenants.documents)

    def meant(self, condition: Filter) -> Filter:
        """What a client's filter means in this database."""
        return strict(condition) if self._typed_values else condition

    def condition(self, condition: Filter | None, scope: Scope) -> Filter | None:
        """What a document must satisfy to be in `scope` and match `condition`; None asks nothing."""
        if condition is not None:
            condition = self.meant(condition)
        narrowed = with_constraints(condition, scope.constraints)
        if scope.tenant is not None or not self.tenanted:
            return narrowed
        return _both(_OF_NO_TENANT, narrowed)

    def locate(self, key: Key) -> Place | None:
        """Where the document is, for the writer. A reader uses `find`."""
        for tier in self.version.newest_first:
            if tier.first_key <= key <= tier.last_key:
                row = tier.lookup(key)
                if row is not None:
                    return Place(tier, row)
        return None

    def find(self, key: Key) -> Place | None:
        """Where the document is, for a reader beside the writer.

        A document on its way from one tier to another can be missed once; then `_moves` or the version has
        changed, and looking again finds it.
        """
        while True:
            version, moves = self.version, self._moves
            place = self.locate(key)
            if place is not None or (self.version is version and self._moves == moves):
                return place

    def find_text(self, tenant: int | None, text: str) -> tuple[Key, Place, TierMetadata] | None:
        """The document with this text id, for a reader beside the writer."""
        assert self.texts is not None
        first = self.texts.first(tenant, text)
        while True:
            moves = self.chain_moves
            until = self.texts.goes_on_until(first, may_expire=self.may_expire)
            for key in self.texts.chain_from(first):
                place = self.find(key)
                if place is None:
                    if key >= until:
                        break
                    continue
                metadata = place.metadata
                if text_id_of(metadata) == text:
                    return key, place, metadata
            if self.chain_moves == moves and not moves & 1:
                return None

    def apply_beside_readers(self, lsn: LSN, records: Sequence[Record]) -> None:
        """`apply`, so that readers find out when it moved documents of a chain."""
        if self.texts is None or len(records) == 1:
            self.apply(lsn, records)
            return
        self.chain_moves += 1
        try:
            self.apply(lsn, records)
        finally:
            self.chain_moves += 1

    def apply(self, lsn: LSN, records: Iterable[Record]) -> None:
        """Carry out the records of one frame of the log."""
        for record in records:
            self.mutations_since_freeze += 1
            key = record.key
            before = None if isinstance(record, PutRecord) and record.is_new else self.locate(key)
            if isinstance(record, DeleteRecord):
                if before is not None:
                    before.tier.delete(before.row)
                    self.documents -= 1
                    self.tenants.removed(key)
                continue
            if isinstance(record, PutRecord):
                vector = record.vector
            elif before is not None:
                vector = before.tier.vector(before.row)
            else:
                continue
            active = self.version.active
            if isinstance(record, MergeRecord):
                assert before is not None
                active.merge(key, before.tier, before.row, record.changes, record.wire, lsn)
            else:
                active.put(key, vector, record.metadata, record.wire, lsn)
                if self.may_expire:
                    self.expires_from_us = min(self.expires_from_us, instant_us_of(record.metadata))
            if before is None:
                self.documents += 1
                if key > DOC_ID_MAX:
                    self.tenants.added(key)
            elif before.tier is not active:
                # Only now, with the new row in place, may the old one be deleted; within its own tier `put` sees to
                # it. Who looked for the new row too early and for the old one too late must know that both were
                # there.
                self._moves += 1
                before.tier.delete(before.row)
        active = self.version.active
        if active.size_bytes >= active.compact_from and active.is_wasteful():
            self.version = self.version.but(active=active.compacted(self.new_hot_tier()))
        self.position = lsn

    def replay(self, lsn: LSN, records: Sequence[Record], log: Path) -> None:
        """`apply` at the start. Every record was logged for a document that was there, so one that is not there now
        was lost: raises DataDamaged rather than go on without it."""
        for record in records:
            if isinstance(record, PutRecord) or (isinstance(record, DeleteRecord) and not record.certain):
                continue
            if self.locate(record.key) is None:
                raise DataDamaged(
                    f"position {lsn} changes document {key_doc_id(record.key)}, which is not there",
                    path=log,
                    hint="Restore from a backup",
                )
        self.apply(lsn, records)

    def due(self, now_us: int) -> Iterator[Expiring]:
        """The documents whose instant is `now_us` or before; they may be removed meanwhile. For the writer."""
        first_us = self.expires_from_us
        if first_us <= now_us:
            for tier in self.version.oldest_first:
                for row, key in tier.due(first_us, now_us):
                    yield Expiring(tier, row, key)

    def remove(self, one: Expiring) -> None:
        """Delete a document that is due. For the writer."""
        one.tier.delete(one.row)
        self.documents -= 1
        self.tenants.removed(one.key)

    def next_expiry_us(self, after_us: int) -> int:
        """No live document goes between `after_us` and this instant. For the writer."""
        return min(tier.next_expiry_us(after_us) for tier in self.version.oldest_first)

    @property
    def hot_bytes(self) -> int:
        """What the active tier and those being sealed hold."""
        version = self.version
        size = version.active.size_bytes
        for tier in version.frozen:
            size += tier.size_bytes
        return size

    def forget_filters(self, count: int) -> int:
        """Let go of so many bytes of what tiers remember of filters; how many it was."""
        gone = 0
        for tier in self.version.oldest_first:
            if gone >= count:
                break
            gone += tier.forget(count - gone)
        return gone

    def freeze(self) -> HotTier:
        """Set the active tier aside for sealing and open a new one. For the writer."""
        version = self.version
        self.version = version.but(frozen=(*version.frozen, version.active), active=self.new_hot_tier())
        self.mutations_since_freeze = 0
        return version.active

    def swap(self, cold: Sequence[ColdSegment], frozen: Sequence[HotTier]) -> None:
        """Have other tiers that hold the same live documents, beside the active one. For the writer."""
        self.version = self.version.but(cold=cold, frozen=frozen)

    def adopt(self, other: State) -> None:
        """Become what `other` is, which nobody else uses. For the writer."""
        self.chain_moves += 2
        self.version = other.version
        self.documents, self.position = other.documents, other.position
        self.tenants.documents = other.tenants.documents
        self.mutations_since_freeze = other.mutations_since_freeze
        self.may_expire, self.expires_from_us = other.may_expire, other.expires_from_us

    def replace(self, *, leaving: Iterable[SearchTier] = (), arriving: ColdSegment | None = None) -> None:
        """Swap tiers that hold the same live documents. For the writer, between two writes."""
        gone = {id(tier) for tier in leaving}
        version = self.version
        cold = tuple(segment for segment in version.cold if id(segment) not in gone)
        if arriving is not None:
            cold += (arriving,)
        frozen = tuple(tier for tier in version.frozen if id(tier) not in gone)
        self.version = version.but(cold=cold, frozen=frozen)

    def settle_elsewhere(self, remote: RemoteTier | None, cold: Iterable[ColdSegment] = ()) -> None:
        """Have the same sealed documents in `remote`, or in segments here. For the writer, between two writes."""
        self.version = Version(tuple(cold), self.version.frozen, self.version.active, remote)

    def replace_remote(self, leaving: HotTier, arriving: RemoteTier) -> None:
        """A tier is now among the rows elsewhere. For the writer, between two writes."""
        version = self.version
        frozen = tuple(tier for tier in version.frozen if tier is not leaving)
        self.version = version.but(frozen=frozen, remote=arriving)


def _both(first: Filter, second: Filter | None) -> Filter:
    if second is None:
        return first
    return And((first, *second.parts)) if isinstance(second, And) else And((first, second))
