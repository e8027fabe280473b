"""The rows of one owner as they are at one position, in every tier.

Statistics of words are of all documents there are at one moment, so what is alive has to be known of one moment: the
marks of all tiers are copied while no commit is applied. Rows themselves never change.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.engine.state import State
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.engine.tiers.tier import Marks
from pykyro.index.metadata.bitmaps import rows_of
from pykyro.index.words.bm25 import Corpus
from pykyro.index.words.postings import WordIndex
from pykyro.model.filter import Filter
from pykyro.model.types import LSN

WordTier: TypeAlias = HotTier | ColdSegment
_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class TierThen:
    """A tier as it was. `counted` marks its live rows of the owner; None when all rows are."""

    tier: WordTier
    rows: int
    words: WordIndex
    counted: Marks | None

    def matching(self, condition: Filter) -> Marks:
        """Those of the counted rows that satisfy `condition`."""
        rows = rows_of(self.tier.index.match(condition))
        marks = np.zeros(self.rows, np.bool_)
        marks[rows[rows < self.rows]] = True
        return marks if self.counted is None else marks & self.counted


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tiers that have rows, oldest first, and what is counted of the owner's documents in all of them."""

    tiers: tuple[TierThen, ...]
    corpus: Corpus
    position: LSN


class Snapshots:
    """Takes them. Any thread may call any method."""

    def __init__(self, state: State, commits: CommitSequence, lock: AbstractContextManager[Any]) -> None:
        self._state = state
        self._commits = commits
        self.lock = lock
        """While it is held nothing changes."""

    def take(self, owner: int) -> Snapshot:
        """The documents of this owner now."""
        for _ in range(_ATTEMPTS):
            number = self._commits.number_if_idle()
            if number is not None:
                snapshot = self._copied(owner)
                if self._commits.number == number:
                    return snapshot
            time.sleep(0)  # whoever applies the commit needs the interpreter
        with self.lock:
            return self._copied(owner)

    def _copied(self, owner: int) -> Snapshot:
        state = self._state
        version, position = state.version, state.position
        documents = words = 0
        tiers = []
        for cold in version.cold:
            if cold.words is not None:
                corpus = cold.word_totals.of(owner)
                documents, words = documents + corpus.documents, words + corpus.words
                if corpus.documents:
                    tiers.append(TierThen(cold, cold.rows, cold.words, _counted_cold(cold, owner)))
        for hot in (*version.frozen, version.active):
            if hot.words is not None:
                corpus = hot.words.totals.of(owner)
                documents, words = documents + corpus.documents, words + corpus.words
                if corpus.documents:
                    counted = hot.live_marks(owner)
                    tiers.append(TierThen(hot, len(counted), hot.words.index, counted))
        return Snapshot(tuple(tiers), Corpus(documents, words), position)


def _counted_cold(tier: ColdSegment, owner: int) -> Marks | None:
    bits, marks = tier.live_bits(), None
    if bits is not None:
        marks = np.unpackbits(bits, count=tier.rows, bitorder="little").view(np.bool_)
    if tier.keys.owners is not None:
        own = tier.keys.owners == np.uint64(owner)
        marks = own if marks is None else marks & own
    return marks
