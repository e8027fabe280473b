"""All caches of one engine, and how a commit reaches them: before it is acknowledged, in the write path's lock."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.document_cache import DocumentCache
from pykyro.cache.documents import Documents
from pykyro.cache.query_cache import Mode
from pykyro.engine.answer_cache import AnswerCache
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.model import distance
from pykyro.model.types import Key, key_doc_id, key_owner
from pykyro.storage.wal.records import DeleteRecord, PutRecord, Record
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)


class Caches:
    """What may answer instead of the tiers."""

    def __init__(self, options: EngineOptions, state: State, clock: Clock) -> None:
        self._state = state
        self._dimension = options.dimension
        self.commits = CommitSequence()
        self._watched: set[Key] | None = None
        self.answers = AnswerCache(options, state, self.commits, clock)

        self.documents: DocumentCache | None = None
        if options.cache.documents_max:
            self.documents = DocumentCache(options.cache.documents_max, self.commits)

    def begin(self) -> None:
        """The documents are about to change: until `committed` no cache answers. For the writer."""
        self.commits.number |= 1  # as CommitSequence.begin does; every write comes here

    def committed(self, records: Sequence[Record]) -> None:
        """These were applied, in this order; bring the caches up to date. For the writer."""
        queries, vectors = self.answers.queries, []
        for record in records:
            if not isinstance(record, PutRecord) or not record.is_new:
                break
            vectors.append(record.vector)
        all_new = len(vectors) == len(records)
        if self._watched is not None:
            self._watched.update([record.key for record in records])
        if not all_new and self.documents is not None:
            # A document that was not there cannot be in that cache.
            self.documents.forget([record.key for record in records])
        if queries.mode is not Mode.OFF:
            try:
                if not all_new or not queries.commit_check.is_unaffected(np.array(vectors)):
                    self._apply(records)
            except Exception:
                # The write is durable and applied; a cache that cannot be brought up to date is given up instead.
                _log.exception("the query cache was emptied")
                self.answers.begin_anew()
        self.commits.number += 1  # as CommitSequence.end does

    def _apply(self, records: Sequence[Record]) -> None:
        """Apply the records to the cached answers. An entry holds documents of one owner, and knows them by their
        ids."""
        if self.answers.queries.is_empty:
            return
        by_owner: dict[int, dict[int, Record]] = {}
        for record in records:
            by_owner.setdefault(key_owner(record.key), {})[key_doc_id(record.key)] = record
        for owner, last in by_owner.items():
            arriving, metadata = self._arriving(last.values())
            doc_ids = np.fromiter(last, np.uint64, len(last))
            self.answers.queries.apply(doc_ids, arriving, metadata, owner)

    def watch(self) -> set[Key]:
        """A set that gets the key of each document written from now on, until `unwatch`; one at a time."""
        self._watched = watched = set[Key]()
        return watched

    def unwatch(self) -> None:
        self._watched = None

    def settle(self) -> None:
        """Let go of tiers that have left."""
        self.answers.queries.settle()

    def _arriving(self, records: Iterable[Record]) -> tuple[Documents, list[Mapping[str, str]]]:
        """The documents these records leave behind, as they are now, and the whole metadata of each."""
        places, metadata, doc_ids = [], [], []
        for record in records:
            place = None if isinstance(record, DeleteRecord) else self._state.locate(record.key)
            if place is not None and not isinstance(record, DeleteRecord):
                places.append(place)
                doc_ids.append(key_doc_id(record.key))
                metadata.append(record.metadata)
        vectors = np.empty((len(places), self._dimension), np.float32)
        for row, place in enumerate(places):
            vectors[row] = place.vector
        return (
            Documents(
                np.array(doc_ids, np.uint64),
                vectors,
                distance.norms(vectors),
                [place.metadata.public for place in places],
            ),
            metadata,
        )
