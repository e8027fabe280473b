"""Answers of searches, and when one may answer another query.

An entry is true for the documents as they are now, because every commit is applied to it before the commit
is acknowledged: a document that was written or deleted leaves every entry, and one that is there afterwards
joins each entry whose key admits it and whose query it is more similar to than `unseen_bound`. So an entry always
holds every such document among those its search met and those written since.

What a served answer is:

    EXACT       the same query again (same vector, same key): the k best of what the entry holds
    CERTIFIED   another query, for which proof.py shows that no document outside the entry is among its k
                best; scored for the query asked
    others      another query that is near enough, unproved: see similar.py

EXACT and CERTIFIED answers equal an exact search over the documents that the entry's search met and those
written since. When that search scanned all documents that match, those are all there are, and the answer is the
true one (`exact`). When it walked a graph, the answer is as good as that walk: a document the walk did not meet
is missing here as it was there, and no document it did meet is nearer than what is served.

Nothing is served or stored while a commit is being applied; see commit_sequence.py.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final

from pykyro.cache import similar
from pykyro.cache.answer import Admits, Cached, Lookup, OwnerOf, ranked
from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.documents import DocIds, Documents, HeldDocuments, Source
from pykyro.cache.entry_table import Entry, EntryTable, Near
from pykyro.cache.proof import outside_at_most
from pykyro.cache.write_columns import CommitCheck, WriteColumns
from pykyro.memory.account import Charge
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.requests import CachedKind
from pykyro.model.types import NOBODY, Metric, Vector

_SKETCH: Final = 16
"""Components that tell queries near enough for a proof from others."""
_CHANGES_MAX: Final = 64
"""Entries one commit changes; further ones that it touches are dropped, which takes a tenth of the time."""
_BATCH: Final = 16
"""Answers that become entries together, which takes half the time; until then only the same query finds them."""
_BATCH_FROM: Final = 64
_LOOK_LESS_FROM, _LOOK_SHARE = 256, 1 / 16
_KEEP_LESS_FROM, _KEEP_SHARE = 1024, 1 / 16
_ASK_SHARE: Final = 1 / 4
"""Of the queries whose answers are not kept."""
_KEEP_RUN: Final = 64
"""Answers in a row that are kept or not: queries of which all are kept, or none, can be searched together."""


class Mode(Enum):
    """What may be served: EXACT; or also CERTIFIED; or also, unproved, RESCORED or THRESHOLD; nothing when OFF."""

    OFF = "off"
    EXACT = "exact"
    CERTIFIED = "certified"
    RESCORED = "rescored"
    THRESHOLD = "threshold"


class QueryCache:
    """Entries and the rules for serving them. Thread-safe; writes come from one thread at a time."""

    def __init__(
        self,
        *,
        dimension: int,
        metric: Metric,
        mode: Mode,
        capacity: int,
        bytes_max: int,
        similarity_threshold: float,
        recall_min: float,
        commits: CommitSequence,
        admits: Admits,
        owner_of: OwnerOf = lambda key: NOBODY,
        charge: Charge | None = None,
    ) -> None:
        """At most `capacity` entries (0: OFF) and `bytes_max` bytes. `similarity_threshold` is a cosine."""
        self.mode = mode if capacity > 0 else Mode.OFF
        self.similar: similar.Similar | None = None
        if mode in (Mode.RESCORED, Mode.THRESHOLD):
            measures = mode is Mode.RESCORED
            self.similar = similar.Similar(metric, similarity_threshold, recall_min, measures=measures)
        self.counts: Counter[str] = Counter()
        """By kind found, of which "late" ones were not served; "miss", of which "overtaken" by a commit and so not
        kept; "unproved" tries; "evicted"."""
        self._metric = metric
        self._capacity, self._bytes_max = capacity, bytes_max
        self._commits = commits
        self._admits, self._owner_of = admits, owner_of
        self._lock = threading.Lock()
        self._table = EntryTable(dimension, _SKETCH if self.similar is None else similar.SKETCH, charge)
        self._columns = WriteColumns(dimension, metric)
        self._waiting: dict[tuple[Hashable, bytes], tuple[Vector, Source]] = {}
        self._changed: set[int] = set()
        """Slots that changed since the last commit."""
        waiting = self._waiting.values()
        self.commit_check = CommitCheck(self._lock, self._table, self._columns, self._changed, waiting)
        self._repeats: dict[tuple[Hashable, bytes], int] = {}
        self._tick = 0
        self.pace = Pace()
        self.pace.expects_repeats = self.mode is not Mode.OFF

    def __len__(self) -> int:
        return self._table.count + len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """For the writer, between `begin` and `end`: then nothing is being stored either."""
        with self._lock:
            return not len(self)

    @property
    def size_bytes(self) -> int:
        return self._table.size_bytes

    def entries(self) -> list[Entry]:
        """All entries there are."""
        with self._lock:
            self._take_in()
            return [entry for _, entry in self._table]

    # --- serving --------------------------------------------------------------------------------

    def is_asked(self) -> bool:
        """Whether to look a query up; else it counts as missed."""
        if self.mode is Mode.OFF:
            return False
        if self.pace.asks():
            return True
        self.pace.asked(answered=False)
        with self._lock:
            self.counts["miss"] += 1
        return False

    def lookup(self, lookup: Lookup, k: int, score_min: float = 0.0) -> Cached | None:
        """An answer with up to `k` documents whose score is at least `score_min` (<= 0: any), or None."""
        found, looked, pace, repeat = None, False, self.pace, (lookup.key, lookup.vector)
        if repeat in self._waiting or repeat in self._repeats:
            found = self._repeated(repeat, lookup.query, k, score_min)
        if found is None and self.mode is not Mode.EXACT:
            number = self._table.numbers.get(lookup.key)
            looked = number is not None and (
                self.similar is not None
                or (self._metric is not Metric.INNER_PRODUCT and (pace.looks_always or pace.looks()))
            )
            if looked and number is not None:
                found = self._near(number, lookup.query, k, score_min)
        pace.asked(answered=found is not None, looked=looked)
        if found is None:
            return None
        with self._lock:
            self._tick += 1
            self._table.touch(found.slot, self._tick)
            self._table.measure(found.slot, found.entry)
            self._shrink()
            if found.check:
                lookup.to_check = found
                return None
            self.counts[found.kind.value] += 1
        return found

    def note_late(self) -> None:
        """An answer that was found came too late to be served."""
        with self._lock:
            self.counts["late"] += 1

    def will_keep(self, lookup: Lookup) -> bool:
        """Whether to `offer` what the search for a query that was not answered finds; else it counts as missed."""
        if lookup.to_check is not None or self.pace.keeps():
            return True
        with self._lock:
            self.counts["miss"] += 1
        return False

    def _repeated(
        self, repeat: tuple[Hashable, bytes], query: Query, k: int, score_min: float
    ) -> Cached | None:
        if repeat in self._waiting:
            with self._lock:
                self._take_in()
        slot = self._repeats.get(repeat)
        entry = None if slot is None else self._table.entry(slot)
        # Another thread may just have given the slot to another query.
        if slot is None or entry is None or (entry.key, entry.asked) != repeat:
            return None
        if entry.repeated is not None and score_min <= 0:
            known: Cached = entry.repeated
            return known
        found = ranked(entry, slot, query, self._metric, k, score_min, CachedKind.EXACT)
        if not found.prove(entry.unseen_bound, score_min, self._metric):
            return None
        if score_min <= 0:
            entry.repeated = found
        return found

    def _near(self, number: int, query: Query, k: int, score_min: float) -> Cached | None:
        """The answer of an entry for another query."""
        found = None
        near = self._table.nearest(number, query.indexed, 1 if self.similar is None else similar.NEIGHBOURS)
        if near:
            if near[0].square <= near[0].entry.farthest and self._metric is not Metric.INNER_PRODUCT:
                found = self._proved(near[0], query, k, score_min)
            if found is None and self.similar is not None:
                found = self.similar.answer(near, query, k, score_min)
        return found

    def _proved(self, near: Near, query: Query, k: int, score_min: float) -> Cached | None:
        entry = near.entry
        between = query.similarity(entry.vector)
        outside = outside_at_most(self._metric, entry.unseen_bound, between)
        found = ranked(entry, near.slot, query, self._metric, k, score_min, CachedKind.CERTIFIED)
        if found.prove(outside, score_min, self._metric):
            return found
        with self._lock:
            self.counts["unproved"] += 1
        return None

    def offer(self, lookup: Lookup, source: Source) -> bool:
        """Keep what the search after this lookup found; whether it is kept.

        It is not when a commit has begun since then: the search may have seen part of it. Nor when it is not known
        what the search left out.
        """
        with self._lock:
            self.counts["miss"] += 1
            if source.unseen_bound == math.inf:
                return False
            if self._commits.number != lookup.since:
                self.counts["overtaken"] += 1
                return False
            repeat = (lookup.key, lookup.vector)
            if repeat not in self._waiting:
                slot = self._repeats.get(repeat)
                if slot is not None:
                    self._drop(slot)
                while self._table.count + len(self._waiting) >= self._capacity:
                    # For one more; what waits counts too.
                    self._evict() if self._table.count else self._take_in()
            self._waiting[repeat] = (lookup.query.indexed, source)
            if len(self._waiting) >= self.pace.batch:
                self._take_in()
        return True

    def fetch_all(self) -> None:
        """Fetch what was not fetched yet, so that the entries no longer refer to what they were made from."""
        with self._lock:
            self._take_in()
        for slot, entry in self._table:
            if not entry.held.is_fetched:
                entry.held.fetched()
                with self._lock:
                    self._table.measure(slot, entry)
                    self._shrink()

    def _take_in(self) -> None:
        """Make entries of what waits."""
        if not self._waiting:
            return
        waiting = list(self._waiting.items())
        self._waiting.clear()
        entries = [
            self._table.new_entry(key, vector, source, self._metric) for (key, vector), (_, source) in waiting
        ]
        self._tick += len(entries)
        slots = self._table.add(entries, [indexed for _, (indexed, _) in waiting], self._tick)
        self._changed.update(slots)
        for slot, (repeat, _) in zip(slots, waiting, strict=True):
            self._repeats[repeat] = slot
        self._shrink()

    def apply(
        self, doc_ids: DocIds, arriving: Documents, metadata: Sequence[Mapping[str, str]], owner: int = NOBODY
    ) -> None:
        """Apply a commit to the entries. For the writer, between `begin` and `end` of the CommitSequence.

        `doc_ids` are the documents of `owner` that were written or deleted, `arriving` those of them that are there
        now, as they are now, and `metadata` their whole metadata.
        """
        with self._lock:
            self._take_in()
            self._columns.catch_up(self._changed, self._table.entries)
            self._changed.clear()
            joining: dict[int, list[int]] = {}
            for slot in self._columns.holding(doc_ids):
                if (entry := self._table.entry(slot)) is not None and self._owner_of(entry.key) == owner:
                    joining[slot] = []
            if len(arriving.doc_ids):
                indexed = distance.index_form(arriving.vectors, self._metric)
                for slot, row in self._columns.joinable(indexed):
                    entry = self._table.entry(slot)
                    if entry is not None and self._joins(entry, arriving, metadata, row):
                        joining.setdefault(slot, []).append(row)
            gone = frozenset(doc_ids.tolist())
            for number, (slot, rows) in enumerate(joining.items()):
                if number < _CHANGES_MAX:
                    self._change(slot, gone, arriving, rows)
                else:
                    self._drop(slot)
            self._shrink()

    def _joins(
        self, entry: Entry, arriving: Documents, metadata: Sequence[Mapping[str, str]], row: int
    ) -> bool:
        if not self._admits(entry.key, metadata[row]):
            return False
        query = Query(entry.vector, self._metric)
        similarity = query.similarities(arriving.vectors[row : row + 1], arriving.norms[row : row + 1])
        return bool(similarity[0] > entry.unseen_bound)

    def _change(self, slot: int, gone: frozenset[int], arriving: Documents, rows: Sequence[int]) -> None:
        entry = self._table.entry(slot)
        assert entry is not None
        documents = entry.held.fetched().changed(gone, arriving, rows)
        if len(documents.doc_ids) > entry.documents_max:
            self._drop(slot)
        else:
            self._table.replace(slot, replace(entry, held=HeldDocuments.of(documents), repeated=None))
            self._changed.add(slot)

    def shrink(self, count: int) -> int:
        """Let go of so many bytes, if there are so many; how many it was."""
        with self._lock:
            self._take_in()
            before = self._table.size_bytes
            while self._table.size_bytes > max(0, before - count):
                self._evict()
            return before - self._table.size_bytes

    def _shrink(self) -> None:
        while self._table.size_bytes > self._bytes_max:
            self._evict()

    def _evict(self) -> None:
        self.counts["evicted"] += 1
        self._drop(self._table.least_recent())

    def _drop(self, slot: int) -> None:
        entry = self._table.remove(slot)
        del self._repeats[entry.key, entry.asked]
        self._changed.add(slot)


class Pace:
    """How much trouble to take over queries that do not repeat.

    Looking for near queries and keeping answers each cost a search about a tenth of its time, so they pay from one
    answer in six on. While not one of some hundreds is answered that way, near queries are looked for only now and
    then; while not one of a thousand is answered at all, only a share of the answers is kept, and the cache is asked
    only a share of the queries at all, enough to notice those that come again. One that is answered brings everything
    back. Counts may be off by a few when threads meet, which does no harm.
    """

    __slots__ = ("_keeps_run", "_unanswered", "_unlike", "batch", "expects_repeats", "looks_always")

    def __init__(self) -> None:
        self._keeps_run = True
        self._unanswered = 0
        self._unlike = 0
        """Queries for which no near one could answer."""
        self.batch = 1
        """How many answers to gather before they become entries."""
        self.looks_always = True
        self.expects_repeats = True
        """Whether one of the latest queries was answered, or hardly any has been asked."""

    def asks(self) -> bool:
        """Whether to look a query up; if not, its answer is not kept either."""
        return self.expects_repeats or self._keeps_run or random.random() < _ASK_SHARE

    def looks(self) -> bool:
        """Whether to look for a near query."""
        return self.looks_always or random.random() < _LOOK_SHARE

    def keeps(self) -> bool:
        """Whether to keep the answer of a search."""
        return self.expects_repeats or self._keeps_run

    def asked(self, *, answered: bool, looked: bool = False) -> None:
        """A query was looked up; `looked`: among near ones too."""
        if looked:
            self._unlike = 0 if answered else self._unlike + 1
            self.batch = 1 if self._unlike < _BATCH_FROM else _BATCH
            self.looks_always = self._unlike < _LOOK_LESS_FROM
        self._unanswered = 0 if answered else self._unanswered + 1
        self.expects_repeats = self._unanswered < _KEEP_LESS_FROM
        if self._unanswered % _KEEP_RUN == 0:
            self._keeps_run = random.random() < _KEEP_SHARE
