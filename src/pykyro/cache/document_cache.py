"""Copies of documents that point lookups ask for again and again.

A document leaves the moment it is written or deleted, before the write is acknowledged, and one that was read
while a commit was being applied is not kept (commit_sequence.py): so a cached document is never older than an
acknowledged write.

Eviction is SIEVE: a queue in order of arrival, and a hand that passes over each document used since it last came by.
Source: Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for Web Caches", NSDI 2024,
algorithm 1. It resists scans, and a hit changes one flag.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.memory.account import Account
from pykyro.model.types import LSN, Vector

_ENTRY_BYTES: Final = 520
"""Of a document beside its vector and metadata: objects, their headers, its place in the table."""
_CHARGED_TOGETHER: Final = 64 << 10
"""So many bytes may be held that are not charged yet."""


class CachedDocument:
    """A document as it is: its vector, and its metadata in the form of metadata_wire, public and reserved."""

    __slots__ = ("doc_id", "newer", "older", "position", "public", "reserved", "used", "vector")

    def __init__(
        self, doc_id: int, vector: Vector, public: bytes, reserved: bytes, position: LSN = 0
    ) -> None:
        self.doc_id = doc_id
        self.vector = vector
        self.public = public
        self.reserved = reserved
        self.position = position
        self.used = False
        self.newer: CachedDocument | None = None
        self.older: CachedDocument | None = None


class DocumentCache:
    """At most `capacity` documents. Thread-safe. An id is a types.Key, of a document that exists."""

    def __init__(self, capacity: int, commits: CommitSequence, account: Account | None = None) -> None:
        """What it holds is charged to `account`."""
        self.capacity = capacity
        self._commits = commits
        self._lock = threading.Lock()
        self._documents: dict[int, CachedDocument] = {}
        self._newest: CachedDocument | None = None
        self._oldest: CachedDocument | None = None
        self._hand: CachedDocument | None = None
        self.hits = self.misses = self.evictions = 0
        self.size_bytes = 0
        """Of the documents held."""
        self._charge = account.charge() if account is not None else None
        self._charged = 0

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, doc_id: int) -> CachedDocument | None:
        """The document if it is held. One that is not should be looked up elsewhere and handed to `keep`."""
        if self._commits.number_if_idle() is None:
            return None
        with self._lock:
            document = self._documents.get(doc_id)
            if document is not None:
                self.hits += 1
                document.used = True
        return document

    def keep(
        self, doc_id: int, vector: Vector, public: bytes, reserved: bytes, since: int, position: LSN = 0
    ) -> None:
        """A document that was found elsewhere, read after the commit sequence said `since`; it is copied if kept."""
        with self._lock:
            self.misses += 1
            if self._commits.number != since or doc_id in self._documents:
                return
            if len(self._documents) >= self.capacity:
                self._evict()
            copy = vector.copy()
            copy.flags.writeable = False
            self._append(CachedDocument(doc_id, copy, public, reserved, position))

    def forget(self, doc_ids: Iterable[int]) -> None:
        """These are written or deleted. For the writer, between `begin` and `end` of the CommitSequence."""
        with self._lock:
            for doc_id in doc_ids:
                document = self._documents.get(doc_id)
                if document is not None:
                    self._remove(document)

    def shrink(self, count: int) -> int:
        """Let go of so many bytes, if there are so many; how many it was."""
        with self._lock:
            before = self.size_bytes
            while self._documents and before - self.size_bytes < count:
                self._evict()
            self._tell()
            return before - self.size_bytes

    def _tell(self) -> None:
        self._charged = self.size_bytes
        if self._charge is not None:
            self._charge.set(self.size_bytes)

    def _append(self, document: CachedDocument) -> None:
        self._documents[document.doc_id] = document
        self.size_bytes += _size(document)
        if abs(self.size_bytes - self._charged) > _CHARGED_TOGETHER:
            self._tell()
        document.older = self._newest
        if self._newest is not None:
            self._newest.newer = document
        self._newest = document
        if self._oldest is None:
            self._oldest = document

    def _evict(self) -> None:
        document = self._hand or self._oldest
        assert document is not None
        while document.used:
            document.used = False
            document = document.newer or self._oldest
            assert document is not None
        self._hand = document
        self._remove(document)
        self.evictions += 1

    def _remove(self, document: CachedDocument) -> None:
        if self._hand is document:
            self._hand = document.newer
        if document.older is not None:
            document.older.newer = document.newer
        else:
            self._oldest = document.newer
        if document.newer is not None:
            document.newer.older = document.older
        else:
            self._newest = document.older
        del self._documents[document.doc_id]
        self.size_bytes -= _size(document)


def _size(document: CachedDocument) -> int:
    return _ENTRY_BYTES + document.vector.nbytes + len(document.public) + len(document.reserved)
