"""Answers of searches, and when one may answer another question.

An entry is true for the documents as they are now, because every commit is carried into it before the commit
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
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final

import numpy as np

from kyrodb import distance
from kyrodb.cache.answer import Cached, Kind, ranked
from kyrodb.cache.commit_sequence import CommitSequence
from kyrodb.cache.documents import DocIds, Documents, HeldDocuments
from kyrodb.cache.entry_table import SKETCH_ROOM, Entry, EntryTable
from kyrodb.cache.proof import farthest_square, outside_at_most
from kyrodb.cache.similarity_control import SimilarityControl
from kyrodb.distance import Question
from kyrodb.types import Metric

Admits = Callable[[Hashable, Mapping[str, str]], bool]
"""Whether an entry with this key wants a document with this metadata, reserved entries included."""

CHECK_SHARE: Final = 1 / 16
"""Share of unproved answers, served or not near enough to be, that are compared with a real search."""
_NEIGHBOURS: Final = 4
"""Entries whose similarity is looked at in the modes that go by it."""
_GROWTH_MAX: Final = 4
"""An entry that comes to hold this many times the documents it began with is dropped."""
_SMALL: Final = 16
"""Documents an entry is counted as beginning with, if it began with fewer."""


class Mode(Enum):
    """What may be served: the kinds up to the mode's own, in the order of `Kind`; nothing when OFF."""

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
    ) -> None:
        """At most `capacity` entries and about `bytes_max` bytes. `similarity_threshold` is a cosine."""
        self.mode = mode
        self.control = SimilarityControl(similarity_threshold, recall_min)
        self.counts: Counter[str] = Counter()
        """By kind served; and "miss", "unproved", "overtaken" (not stored, a commit came between), "evicted"."""
        self._metric = metric
        self._capacity = capacity
        self._bytes_max = bytes_max
        self._threshold = similarity_threshold
        self._commits = commits
        self._admits = admits
        self._lock = threading.Lock()
        self._table = EntryTable(dimension, metric)
        self._repeats: dict[tuple[Hashable, bytes], int] = {}
        self._tick = 0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def is_empty(self) -> bool:
        """For the writer, between `begin` and `end`: then nothing is being stored either."""
        with self._lock:
            return not len(self._table)

    @property
    def size_bytes(self) -> int:
        """Of vectors, metadata and columns held."""
        return self._table.size_bytes

    # --- serving --------------------------------------------------------------------------------

    def lookup(self, key: Hashable, question: Question, k: int, score_min: float = 0.0) -> Cached | None:
        """An answer with up to `k` documents whose score is at least `score_min` (<= 0: any), or None.

        One that says `check` must not be served: the caller searches and tells `judge`.
        """
        if self._commits.quiet() is None:
            return None
        found = self._repeated(key, question, k, score_min)
        if found is None and self.mode is not Mode.EXACT:
            found = self._proved(key, question, k, score_min)
            if found is None and self.mode in (Mode.RESCORED, Mode.THRESHOLD):
                found = self._near(key, question, k, score_min)
        with self._lock:
            self.counts["miss" if found is None or found.check else found.kind.value] += 1
            if found is not None:
                self._tick += 1
                self._table.touch(found.slot, self._tick)
                self._table.measure(found.slot, found.entry)
                self._shrink()
        return found

    def judge(self, cached: Cached, doc_ids: Sequence[int]) -> None:
        """What a real search found in place of an answer that had to be checked."""
        if doc_ids:
            overlap = len(set(doc_ids).intersection(cached.doc_ids)) / len(doc_ids)
            self.control.observe(cached.similarity, overlap)

    def _repeated(self, key: Hashable, question: Question, k: int, score_min: float) -> Cached | None:
        asked = question.vector.tobytes()
        slot = self._repeats.get((key, asked))
        entry = None if slot is None else self._table.entry(slot)
        # Another thread may just have given the slot to another question.
        if slot is None or entry is None or entry.asked != asked or entry.key != key:
            return None
        found = ranked(entry, slot, question, self._metric, k, score_min, Kind.EXACT)
        return found if found.prove(entry.beyond, score_min, self._metric) else None

    def _proved(self, key: Hashable, question: Question, k: int, score_min: float) -> Cached | None:
        if self._metric is Metric.INNER_PRODUCT:
            return None
        for slot, square, farthest in self._table.nearest(key, question.indexed):
            entry = self._table.entry(slot)
            if entry is None or entry.key != key or square > SKETCH_ROOM * farthest:
                continue
            between = float(question.similarities(entry.vector[np.newaxis])[0])
            outside = outside_at_most(self._metric, entry.beyond, between)
            found = ranked(entry, slot, question, self._metric, k, score_min, Kind.CERTIFIED)
            if found.prove(outside, score_min, self._metric):
                return found
            with self._lock:
                self.counts["unproved"] += 1
        return None

    def _near(self, key: Hashable, question: Question, k: int, score_min: float) -> Cached | None:
        similarity, slot, entry = self._most_similar(key, question)
        if entry is None:
            return None
        if self.mode is Mode.THRESHOLD:
            if similarity <= self._threshold:
                return None
            as_it_was = Question(entry.vector, self._metric)
            found = ranked(entry, slot, as_it_was, self._metric, k, score_min, Kind.THRESHOLD)
        else:
            allowed = similarity >= self.control.threshold
            check = random.random() < CHECK_SHARE and similarity >= self._threshold
            if not allowed and not check:
                return None
            found = ranked(entry, slot, question, self._metric, k, score_min, Kind.RESCORED)
            found.check = check
        found.similarity = similarity
        whole = found.examined >= k or entry.beyond == -math.inf
        return found if whole else None

    def _most_similar(self, key: Hashable, question: Question) -> tuple[float, int, Entry | None]:
        """The highest cosine between this question and that of an entry; its slot and the entry."""
        best: tuple[float, int, Entry | None] = (-math.inf, -1, None)
        for slot, _, _ in self._table.nearest(key, question.indexed, _NEIGHBOURS):
            entry = self._table.entry(slot)
            if entry is not None and entry.key == key:
                cosine = _cosine(question, entry)
                if cosine > best[0]:
                    best = (cosine, slot, entry)
        return best

    # --- storing --------------------------------------------------------------------------------

    def store(
        self,
        key: Hashable,
        question: Question,
        held: HeldDocuments,
        *,
        beyond: float,
        kth: float,
        exact: bool,
        since: int,
    ) -> bool:
        """Keep what a search found; whether it was kept.

        `held` are all documents more similar than `beyond` that the search met (further ones do no harm),
        `kth` is the similarity of the k-th best and minus infinity when there are fewer. `since` is what
        `CommitSequence.quiet` said before the search: an answer that a commit overtook is not kept.
        """
        asked = question.vector.tobytes()
        documents_max = _GROWTH_MAX * max(len(held.doc_ids), _SMALL)
        entry = Entry(key, asked, question.indexed, held, beyond, kth, exact, documents_max)
        farthest = farthest_square(self._metric, beyond, kth)
        with self._lock:
            if self._commits.number != since:
                self.counts["overtaken"] += 1
                return False
            self._drop(self._repeats.get((key, asked)))
            while len(self._table) >= self._capacity:
                self._evict()
            self._tick += 1
            self._repeats[key, asked] = self._table.add(entry, farthest, self._tick)
            self._shrink()
        return True

    def settle(self) -> None:
        """Fetch what was not fetched yet, so that the entries no longer refer to what they were made from."""
        for slot, entry in self._table:
            if not entry.held.is_fetched:
                entry.held.fetched()
                with self._lock:
                    self._table.measure(slot, entry)
                    self._shrink()

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            for slot, _ in self._table:
                self._drop(slot)

    # --- following writes -----------------------------------------------------------------------

    def carry(self, doc_ids: DocIds, arriving: Documents, metadata: Sequence[Mapping[str, str]]) -> None:
        """Carry a commit into the entries. For the writer, between `begin` and `end` of the CommitSequence.

        `doc_ids` are the documents that were written or deleted, `arriving` those of them that are there now,
        as they are now, and `metadata` their whole metadata.
        """
        with self._lock:
            joining: dict[int, list[int]] = {slot: [] for slot in self._table.holding(doc_ids)}
            if len(arriving.doc_ids):
                indexed = distance.index_form(arriving.vectors, self._metric)
                for slot, row in self._table.joinable(indexed):
                    entry = self._table.entry(slot)
                    if entry is not None and self._joins(entry, arriving, metadata, row):
                        joining.setdefault(slot, []).append(row)
            gone = frozenset(doc_ids.tolist())
            for slot, rows in joining.items():
                self._change(slot, gone, arriving, rows)

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
            self._table.replace(slot, replace(entry, held=HeldDocuments.of(documents)))

    def _shrink(self) -> None:
        while self._table.size_bytes > self._bytes_max:
            self._evict()

    def _evict(self) -> None:
        self.counts["evicted"] += 1
        self._drop(self._table.least_recently())

    def _drop(self, slot: int | None) -> None:
        if slot is not None:
            entry = self._table.remove(slot)
            del self._repeats[entry.key, entry.asked]


def _cosine(question: Question, entry: Entry) -> float:
    return float(Question(question.vector, Metric.COSINE).similarities(entry.vector[np.newaxis])[0])
