"""Answers of searches, and when one may answer another question.

An entry is true for the documents as they are now, because every commit is applied to it before the commit
is acknowledged: a document that was written or deleted leaves every entry, and one that is there afterwards
joins each entry whose key admits it and whose question it is more similar to than `beyond`. So an entry always
holds every such document among those its search met and those written since.

What a served answer is:

    EXACT       the same question again (same vector, same key): the k best of what the entry holds
    CERTIFIED   another question, for which proof.py shows that no document outside the entry is among its k
                best; scored for the question asked
    RESCORED    another question, as near as `SimilarityControl` allows; scored for the question asked, unproved
    THRESHOLD   another question, more similar than a fixed cosine; that question's documents and scores

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

from pykyro.cache.answer import Admits, Cached, OwnerOf, Ticket, ranked
from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.documents import ROW_BYTES, DocIds, Documents, HeldDocuments, Source
from pykyro.cache.entry_table import Entry, EntryTable, Near
from pykyro.cache.pace import Pace
from pykyro.cache.proof import farthest_square, outside_at_most
from pykyro.cache.similarity_control import SimilarityControl
from pykyro.cache.write_columns import CommitCheck, WriteColumns
from pykyro.model import distance
from pykyro.model.distance import Question
from pykyro.model.requests import Kind
from pykyro.model.types import NOBODY, Metric, Vector

CHECK_SHARE: Final = 1 / 16
"""Share of unproved answers, served or not near enough to be, that are compared with a real search."""
CHECK_SHARE_AT_FIRST: Final = 1 / 4
"""The same while none is served yet: then a check costs no search that would not be done anyway."""
SKETCH_ROOM: Final = 2.0
"""How many times the truth a squared distance estimated from sketches may well be."""
_SKETCH_NEAR: Final = 16
"""Components that tell questions near enough for a proof from others."""
_SKETCH_FAR: Final = 64
"""Components that order questions farther apart."""
_NEIGHBOURS: Final = 4
"""Entries whose similarity is looked at in the modes that go by it."""
_GROWTH_MAX: Final = 4
"""An entry that comes to hold this many times the documents it began with is dropped."""
_CHANGES_MAX: Final = 64
"""Entries one commit changes; further ones that it touches are dropped, which takes a tenth of the time."""
_SMALL: Final = 16
"""Documents an entry is counted as beginning with, if it began with fewer."""


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
    ) -> None:
        """At most `capacity` entries (0: OFF) and `bytes_max` bytes. `similarity_threshold` is a cosine."""
        self.mode = mode if capacity > 0 else Mode.OFF
        self.control = SimilarityControl(similarity_threshold, recall_min)
        self.counts: Counter[str] = Counter()
        """By kind found, of which "late" ones were not served; "miss", of which "overtaken" by a commit and so not
        kept; "unproved" tries; "evicted"."""
        self._metric = metric
        self._capacity = capacity
        self._bytes_max = bytes_max
        self._threshold = similarity_threshold
        self._commits = commits
        self._admits = admits
        self._owner_of = owner_of
        self._lock = threading.Lock()
        by_similarity = mode in (Mode.RESCORED, Mode.THRESHOLD)
        self._table = EntryTable(dimension, _SKETCH_FAR if by_similarity else _SKETCH_NEAR)
        self._columns = WriteColumns(dimension, metric)
        self._waiting: dict[tuple[Hashable, bytes], tuple[Vector, Source]] = {}
        self._changed: set[int] = set()
        """Slots that changed since the last commit."""
        waiting = self._waiting.values()
        self.commit_check = CommitCheck(self._lock, self._table, self._columns, self._changed, waiting)
        self._repeats: dict[tuple[Hashable, bytes], int] = {}
        self._tick = 0
        self._pace = Pace()

    def __len__(self) -> int:
        return len(self._table) + len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """For the writer, between `begin` and `end`: then nothing is being stored either."""
        with self._lock:
            return not len(self)

    @property
    def expects_repeats(self) -> bool:
        """Whether questions were answered lately, or have hardly been asked."""
        return self.mode is not Mode.OFF and self._pace.expects_repeats

    @property
    def size_bytes(self) -> int:
        """Of vectors, metadata and columns held."""
        return self._table.size_bytes

    def entries(self) -> list[Entry]:
        """All entries there are."""
        with self._lock:
            self._take_in()
            return [entry for _, entry in self._table]

    # --- serving --------------------------------------------------------------------------------

    def is_asked(self) -> bool:
        """Whether to ask for a `ticket` for a question; else it counts as missed."""
        if self.mode is Mode.OFF:
            return False
        if self._pace.asks():
            return True
        self._pace.asked(answered=False)
        with self._lock:
            self.counts["miss"] += 1
        return False

    def ticket(self, key: Hashable, question: Question) -> Ticket | None:
        """What to ask and to store with; None while a commit is being applied."""
        since = self._commits.quiet()
        return None if since is None else Ticket(key, question.vector.tobytes(), question, since)

    def lookup(self, ticket: Ticket, k: int, score_min: float = 0.0) -> Cached | None:
        """An answer with up to `k` documents whose score is at least `score_min` (<= 0: any), or None."""
        found = self._repeated(ticket, k, score_min) or self._not_repeated(ticket, k, score_min)
        self._pace.asked(answered=found is not None)
        if found is None:
            return None
        with self._lock:
            self._tick += 1
            self._table.touch(found.slot, self._tick)
            self._table.measure(found.slot, found.entry)
            self._shrink()
            if found.check:
                ticket.to_check = found
                return None
            self.counts[found.kind.value] += 1
        return found

    def note_late(self) -> None:
        """An answer that was found came too late to be served."""
        with self._lock:
            self.counts["late"] += 1

    def will_keep(self, ticket: Ticket) -> bool:
        """Whether to `store` what the search for a question that was not answered finds; else it counts as missed."""
        if ticket.to_check is not None or self._pace.keeps():
            return True
        with self._lock:
            self.counts["miss"] += 1
        return False

    def _repeated(self, ticket: Ticket, k: int, score_min: float) -> Cached | None:
        repeat = (ticket.key, ticket.asked)
        if repeat in self._waiting:
            with self._lock:
                self._take_in()
        slot = self._repeats.get(repeat)
        entry = None if slot is None else self._table.entry(slot)
        # Another thread may just have given the slot to another question.
        if slot is None or entry is None or entry.asked != ticket.asked or entry.key != ticket.key:
            return None
        if entry.repeated is not None and score_min <= 0:
            known: Cached = entry.repeated
            return known
        found = ranked(entry, slot, ticket.question, self._metric, k, score_min, Kind.EXACT)
        if not found.prove(entry.beyond, score_min, self._metric):
            return None
        if score_min <= 0:
            entry.repeated = found
        return found

    def _not_repeated(self, ticket: Ticket, k: int, score_min: float) -> Cached | None:
        by_similarity = self.mode in (Mode.RESCORED, Mode.THRESHOLD)
        number = self._table.number_of(ticket.key)
        if number is None or self.mode is Mode.EXACT:
            return None
        if not by_similarity and (self._metric is Metric.INNER_PRODUCT or not self._pace.looks()):
            return None
        question, found = ticket.question, None
        near = self._table.nearest(number, question.indexed, _NEIGHBOURS if by_similarity else 1)
        if near:
            found = self._proved(near[0], question, k, score_min)
            if found is None and by_similarity:
                found = self._similar(near, question, k, score_min)
        self._pace.looked(found=found is not None)
        return found

    def _proved(self, near: Near, question: Question, k: int, score_min: float) -> Cached | None:
        if near.square > near.entry.farthest or self._metric is Metric.INNER_PRODUCT:
            return None
        entry = near.entry
        between = question.similarity(entry.vector)
        outside = outside_at_most(self._metric, entry.beyond, between)
        found = ranked(entry, near.slot, question, self._metric, k, score_min, Kind.CERTIFIED)
        if found.prove(outside, score_min, self._metric):
            return found
        with self._lock:
            self.counts["unproved"] += 1
        return None

    def _similar(self, near: Sequence[Near], question: Question, k: int, score_min: float) -> Cached | None:
        as_cosine = Question(question.vector, Metric.COSINE)
        similarity, best = max(
            ((as_cosine.similarity(one.entry.vector), one) for one in near), key=lambda pair: pair[0]
        )
        entry, slot = best.entry, best.slot
        if self.mode is Mode.THRESHOLD:
            if similarity <= self._threshold:
                return None
            as_it_was = Question(entry.vector, self._metric)
            found = ranked(entry, slot, as_it_was, self._metric, k, score_min, Kind.THRESHOLD)
        else:
            share = CHECK_SHARE if self.control.threshold < math.inf else CHECK_SHARE_AT_FIRST
            check = similarity >= self._threshold and random.random() < share
            if not check and similarity < self.control.threshold:
                return None
            found = ranked(entry, slot, question, self._metric, k, score_min, Kind.RESCORED)
            found.check = check
        found.similarity = similarity
        return found if found.examined >= k or entry.beyond == -math.inf else None

    def store(self, ticket: Ticket, source: Source) -> bool:
        """Keep what the search with this ticket found; whether it is kept.

        It is not when a commit has begun since the ticket was given: the search may have seen part of it. Nor when
        it is not known what the search left out.
        """
        with self._lock:
            self.counts["miss"] += 1
            if source.beyond == math.inf:
                return False
            if self._commits.number != ticket.since:
                self.counts["overtaken"] += 1
                return False
            repeat = (ticket.key, ticket.asked)
            if repeat not in self._waiting:
                self._drop(self._repeats.get(repeat))
                self._make_room()
            self._waiting[repeat] = (ticket.question.indexed, source)
            if len(self._waiting) >= self._pace.batch:
                self._take_in()
        return True

    def judge(self, cached: Cached, doc_ids: Sequence[int]) -> None:
        """What a real search found in place of an answer that had to be checked."""
        if doc_ids:
            overlap = len(set(doc_ids).intersection(cached.doc_ids)) / len(doc_ids)
            self.control.observe(cached.similarity, overlap)

    def settle(self) -> None:
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
        entries = [self._entry(key, asked, source) for (key, asked), (_, source) in waiting]
        self._tick += len(entries)
        slots = self._table.add(entries, [indexed for _, (indexed, _) in waiting], self._tick)
        self._changed.update(slots)
        for slot, (repeat, _) in zip(slots, waiting, strict=True):
            self._repeats[repeat] = slot
        self._shrink()

    def _entry(self, key: Hashable, asked: bytes, source: Source) -> Entry:
        count = source.count()
        return Entry(
            number=self._table.claim_number(key),
            key=key,
            asked=asked,
            held=HeldDocuments(source, count * (len(asked) + ROW_BYTES)),
            beyond=source.beyond,
            farthest=SKETCH_ROOM * farthest_square(self._metric, source.beyond, source.kth),
            exact=source.exact,
            documents_max=_GROWTH_MAX * max(count, _SMALL),
        )

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
            joining: dict[int, list[int]] = {
                slot: [] for slot in self._columns.holding(doc_ids) if self._is_of(slot, owner)
            }
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

    def _is_of(self, slot: int, owner: int) -> bool:
        """Whether the entry in this slot holds documents of this owner."""
        entry = self._table.entry(slot)
        return entry is not None and self._owner_of(entry.key) == owner

    def _joins(
        self, entry: Entry, arriving: Documents, metadata: Sequence[Mapping[str, str]], row: int
    ) -> bool:
        if not self._admits(entry.key, metadata[row]):
            return False
        question = Question(entry.vector, self._metric)
        similarity = question.similarities(arriving.vectors[row : row + 1], arriving.norms[row : row + 1])
        return bool(similarity[0] > entry.beyond)

    def _change(self, slot: int, gone: frozenset[int], arriving: Documents, rows: Sequence[int]) -> None:
        entry = self._table.entry(slot)
        assert entry is not None
        documents = entry.held.fetched().changed(gone, arriving, rows)
        if len(documents.doc_ids) > entry.documents_max:
            self._drop(slot)
        else:
            self._table.replace(slot, replace(entry, held=HeldDocuments.of(documents), repeated=None))
            self._changed.add(slot)

    def _make_room(self) -> None:
        """For one more; what waits counts too."""
        while len(self) >= self._capacity:
            self._evict() if len(self._table) else self._take_in()

    def _shrink(self) -> None:
        while self._table.size_bytes > self._bytes_max:
            self._evict()

    def _evict(self) -> None:
        self.counts["evicted"] += 1
        self._drop(self._table.least_recent())

    def _drop(self, slot: int | None) -> None:
        if slot is not None:
            entry = self._table.remove(slot)
            del self._repeats[entry.key, entry.asked]
            self._changed.add(slot)
