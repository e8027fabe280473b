"""What callers ask of the engine and what they get: plain values, checked before they come here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, Protocol, TypeAlias

from pykyro.model.conditions import Terms
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.expiry import Expiry
from pykyro.model.filter import Filter
from pykyro.model.legs import Legs, LegScore, Span
from pykyro.model.limits import EF_SEARCH_MAX, K_MAX
from pykyro.model.metadata_wire import decode_metadata
from pykyro.model.types import EVERYTHING, LSN, AnyId, Document, Scope, Vector


class Tier(Enum):
    """Where a document really was, or which part of the database was really searched."""

    CACHE = "cache"
    HOT = "hot"
    COLD = "cold"


class CachedKind(Enum):
    """Why a cached answer may be served; see query_cache.py."""

    EXACT = "exact"
    CERTIFIED = "certified"
    RESCORED = "rescored"
    THRESHOLD = "threshold"


# --- writes ---------------------------------------------------------------------------------------


class DocumentLimit(Protocol):
    """How many live documents the tenant of a document may have."""

    @property
    def documents_max(self) -> int: ...

    def refusal(self) -> ResourceExhausted:
        """What a document beyond the limit meets."""
        ...


@dataclass(slots=True)
class Put:
    """Insert the document, or replace the one with its id. Metadata is replaced wholly.

    `limit` holds for a document that is new; None is no limit but the database's own. Without `expiry` the document
    goes as the collection says, if it says anything.
    """

    document: Document
    limit: DocumentLimit | None = None
    expiry: Expiry | None = None
    terms: Terms | None = None


@dataclass(slots=True)
class PutMany:
    """Insert or replace these documents, all or none; of several with one id the last."""

    puts: Sequence[Put]
    terms: Terms | None = None
    """Its idempotency key."""


def put_many(puts: Sequence[Put], terms: Terms | None = None) -> PutMany:
    """These documents as one operation. Raises InvalidArgument for an idempotency key that one has by itself."""
    for position, put in enumerate(puts):
        if put.terms is not None and put.terms.idempotency_key:
            raise InvalidArgument(
                f"documents[{position}] has an idempotency_key; a batch that is stored all or none has one for all",
                field="idempotency_key",
            )
    return PutMany(puts, terms)


@dataclass(slots=True)
class Delete:
    """Remove the document that the tenant of `scope` knows as `doc_id`; nothing happens when it is absent or in
    another namespace."""

    doc_id: AnyId
    scope: Scope = EVERYTHING
    terms: Terms | None = None


@dataclass(slots=True)
class UpdateMetadata:
    """Overlay (`merge`) or replace the metadata of a document; reserved keys stay as they are, and so does the
    instant at which it goes, unless `expiry` says otherwise."""

    doc_id: AnyId
    metadata: Mapping[str, str]
    merge: bool = False
    scope: Scope = EVERYTHING
    expiry: Expiry | None = None
    terms: Terms | None = None


@dataclass(slots=True)
class DeleteMatching:
    """Remove every document in scope that `filter` matches, all or none."""

    filter: Filter
    scope: Scope = EVERYTHING
    terms: Terms | None = None
    """Its idempotency key."""


@dataclass(slots=True)
class DeleteMany:
    """Remove the documents with these ids that exist and are in scope, all or none."""

    doc_ids: Sequence[AnyId]
    scope: Scope = EVERYTHING
    terms: Terms | None = None
    """Its idempotency key."""


Operation: TypeAlias = Put | PutMany | Delete | UpdateMetadata | DeleteMany | DeleteMatching


@dataclass(slots=True)
class Ack:
    """The write is durable as far as the fsync policy promises, and visible to every later read.

    `existed` counts documents that were there before: replaced by a Put, removed by a delete, or updated.
    """

    lsn: LSN
    existed: int


# --- reads ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """A document as a point lookup returns it. `metadata_wire` holds no reserved keys but a text id; where ids are
    text, `doc_id` belongs to the key. `position` is that of the write that made it what it is."""

    doc_id: int
    vector: Vector
    metadata_wire: bytes
    tier: Tier
    position: LSN = 0

    @property
    def metadata(self) -> dict[str, str]:
        return decode_metadata(self.metadata_wire)


def check_search(k: int, ef_search: int, min_score: float) -> None:
    """Refuse numbers that no search can be asked with, whichever way they come. Raises InvalidArgument."""
    if k < 1:
        raise InvalidArgument("k must be greater than 0", field="k")
    if k > K_MAX:
        raise InvalidArgument(f"k must be <= {K_MAX}, got {k}", field="k")
    if ef_search < 0:
        raise InvalidArgument(f"ef_search must be >= 0, got {ef_search}", field="ef_search")
    if ef_search > EF_SEARCH_MAX:
        raise InvalidArgument(f"ef_search must be <= {EF_SEARCH_MAX}, got {ef_search}", field="ef_search")
    if math.isnan(min_score):
        raise InvalidArgument("min_score must be a number, got NaN", field="min_score")


@dataclass(slots=True)
class SearchRequest:
    """A nearest-neighbour query. `vector` is float32, C-contiguous, of the database's dimension.

    `ef_search` 0 means the database's own. `min_score` <= 0 filters nothing. `exact` scans every row that
    matches, whatever it costs.
    """

    vector: Vector
    k: int
    ef_search: int = 0
    filter: Filter | None = None
    scope: Scope = EVERYTHING
    min_score: float = 0.0
    exact: bool = False
    include_vectors: bool = False
    include_metadata: bool = True
    include_positions: bool = False
    legs: Legs | None = None
    """What is asked beside the vector, or instead of it; None: nothing."""


@dataclass(slots=True)
class ScoredDocument:
    """One row of an answer. `vector` is the client's own float32 values, bit for bit, or None unless asked for.
    Where ids are text, `doc_id` belongs to the key, and `metadata_wire` begins with the id."""

    doc_id: int
    score: float
    vector: Vector | None = None
    metadata_wire: bytes = b""
    position: LSN = 0
    """Of the write that made it what it is, if that was asked for."""

    @property
    def metadata(self) -> dict[str, str]:
        return decode_metadata(self.metadata_wire)


@dataclass(slots=True)
class LegHit(ScoredDocument):
    """A row of an answer by words or in groups: what each leg says of it, where its words are, and which group it is
    of, as far as that was asked."""

    legs: Sequence[LegScore] = ()
    highlights: Sequence[Span] = ()
    group: str | None = None
    """In the text form of pykyro.model.typed_text the value it was grouped by."""


class Stage(NamedTuple):
    """A step on the way to an answer, and when it was done, in microseconds since the Unix epoch."""

    name: str
    start_us: int
    end_us: int


FusionEnd: TypeAlias = Literal["", "exhausted", "proved", "bounded", "as_asked"]
"""Of an answer by two legs, how far they were looked at: to the end of both; so far that deeper ones would not change
the answer; not so far; or as far as was asked. Empty where nothing was fused."""


@dataclass(slots=True)
class SearchResult:
    """An answer, best first, ties by ascending id.

    `matched` is the number of live documents that satisfy scope and filter; `examined` the number of rows
    whose similarity was computed where that is known (graph searches count their candidates); `exact` says
    that no better row can exist, `exact_asked` that the request wanted that; `left_out` are the parts of the
    database that were not searched to their end,
    and `note` says why. `cached` says why an answer from the query cache may be served, None for a real search,
    and `margin` by how much it is proved (see cache.answer.Cached).
    """

    hits: list[ScoredDocument]
    total_found: int
    position: LSN
    tiers: frozenset[Tier] = frozenset()
    exact: bool = True
    exact_asked: bool = False
    matched: int = 0
    examined: int = 0
    left_out: frozenset[Tier] = frozenset()
    note: str = ""
    plan: str = ""
    cached: CachedKind | None = None
    margin: float = math.nan
    legs: Literal["", "text", "fused"] = ""
    """Of a search by words, by them alone or by a vector too: then the hits are of LegHit."""
    fusion: FusionEnd = ""
    grouped: bool = False
    """Whether the hits are in groups: then they are of LegHit, best group first, those of one group side by side."""
    stages: Sequence[Stage] = ()
    """The search of each tier, if TierBudgets.timed."""
    held: object = None
    """What keeps room for a large answer in the memory budget for as long as it is there."""

    @property
    def complete(self) -> bool:
        """Whether every part of the database was searched to its end."""
        return not self.left_out


@dataclass(slots=True)
class FlushReport:
    """What FlushHotTier did."""

    documents: int
    duration_s: float


@dataclass(slots=True)
class CompactionReport:
    """What a compaction came to; bytes are those of all files of segments."""

    documents: int
    segments_before: int
    segments: int
    bytes_before: int
    bytes: int
    duration_s: float


@dataclass(slots=True)
class MoveReport:
    """What a move of the sealed documents came to: how many they are, how many rows were copied for it (those that an
    earlier try had copied are not among them), how many answers of both sides were compared."""

    documents: int
    copied: int
    compared: int
    duration_s: float


@dataclass(slots=True)
class SnapshotReport:
    """What CreateSnapshot left: a directory of hard links that opens as a database of that position."""

    path: str
    documents: int
    size_bytes: int
    lsn: LSN


@dataclass(slots=True)
class EngineStats:
    """Numbers of one moment; every one is counted, none is estimated."""

    documents: int
    hot_documents: int
    cold_documents: int
    dead_rows: int
    segments: int
    position: LSN
    sealed_position: LSN
    hot_flushes: int
    merges: int
    wal_writes: int
    wal_writes_failed: int
    wal_bytes: int
    wal_syncs: int
    refusing_writes: str = ""
    """Why writes are refused now; empty when they are accepted."""
    breaker_state: int = 0
    disk_full_errors: int = 0
    disk_free_bytes: int = 0
    """What is left of the disk that holds the data; 0 also when the disk does not say."""
    disk_warning: str = ""
    """Set while the disk is running short of room."""
    wal_probes: int = 0
    """Times the disk was tried again after an error."""
    unsynced_frames: int = 0
    unsynced_age_s: float = 0.0
    """Seconds since the oldest frame was accepted that is not on disk yet; 0 when all are."""
    query_cache_entries: int = 0
    query_cache_bytes: int = 0
    query_cache_counts: Mapping[str, int] = field(default_factory=dict)
    """See cache.query_cache.QueryCache.counts."""
    maintenance_failure: str = ""
    """The last thing that went wrong in the background, while it is being tried again."""
    capacity_warning: str = ""
    """Set while there are nearly as many documents as there may be, or more."""
    expired: int = 0
    """Documents that went at their instant since the engine was opened."""
    room_warning: str = ""
    """Set while writers wait for memory or are refused for want of it: why, and for how long."""
    cold_tier_warning: str = ""
    """Set while the cold tier is elsewhere and cannot be used: why."""
