"""A query cache over documents of a test's own, without an engine."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pykyro.cache.answer import Lookup
from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.documents import DocIds, Documents
from pykyro.cache.query_cache import Mode, QueryCache
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.types import Matrix, Metric, Vector

DIMENSION = 8


def documents(first_id: int, rows: Matrix) -> Documents:
    """Documents with ids from `first_id` on and their id as metadata."""
    ids = np.arange(first_id, first_id + len(rows), dtype=np.uint64)
    return Documents(ids, rows, distance.norms(rows), [b"%d" % doc_id for doc_id in ids.tolist()])


@dataclass
class Found:
    """A source that counts how often it is read."""

    held: Documents
    unseen_bound: float
    kth: float = 0.0
    exact: bool = True
    reads: int = 0

    def count(self) -> int:
        return len(self.held.doc_ids)

    def doc_ids(self) -> DocIds:
        return self.held.doc_ids

    def documents(self) -> Documents:
        self.reads += 1
        return self.held


@dataclass
class Rig:
    """A cache and the sequence that guards it; documents are admitted to an entry unless their metadata says no."""

    metric: Metric = Metric.COSINE
    mode: Mode = Mode.CERTIFIED
    capacity: int = 100
    bytes_max: int = 1 << 30
    commits: CommitSequence = field(default_factory=CommitSequence)

    def __post_init__(self) -> None:
        self.cache = QueryCache(
            dimension=DIMENSION,
            metric=self.metric,
            mode=self.mode,
            capacity=self.capacity,
            bytes_max=self.bytes_max,
            similarity_threshold=0.5,
            recall_min=0.9,
            commits=self.commits,
            admits=lambda key, metadata: metadata.get("for", key) == key,
        )

    def lookup(self, vector: Vector, key: Hashable = "key") -> Lookup:
        since = self.commits.number_if_idle()
        assert since is not None
        return Lookup(key, vector.tobytes(), Query(vector, self.metric), since)

    def store(
        self, vector: Vector, rows: Matrix, *, keep: int = 20, key: Hashable = "key", first_id: int = 1
    ) -> Found:
        """What an exact search for the best `keep` of these rows leaves in the cache."""
        found = search(vector, documents(first_id, rows), keep, self.metric)
        assert self.cache.offer(self.lookup(vector, key), found)
        return found

    def ask(self, vector: Vector, k: int = 3, key: Hashable = "key", score_min: float = 0.0) -> Any:
        return self.cache.lookup(self.lookup(vector, key), k, score_min)

    def commit(
        self, gone: list[int], arriving: Documents, metadata: list[Mapping[str, str]] | None = None
    ) -> None:
        self.commits.begin()
        touched = np.array([*gone, *arriving.doc_ids.tolist()], np.uint64)
        may_skip = len(arriving.doc_ids) > 0 and self.cache.commit_check.is_unaffected(arriving.vectors)
        before = self.cache.entries()
        held = [one.held.doc_ids() for one in before]
        may_skip = may_skip and not np.isin(touched, np.concatenate([np.empty(0, np.uint64), *held])).any()
        self.cache.apply(touched, arriving, metadata or [{}] * len(arriving.doc_ids))
        assert not may_skip or self.cache.entries() == before
        self.commits.end()


def search(vector: Vector, held: Documents, keep: int, metric: Metric) -> Found:
    """The best `keep` documents."""
    similarities = distance.similarities(held.vectors, vector, metric)
    order = np.argsort(-similarities)[:keep]
    best = Documents(
        held.doc_ids[order], held.vectors[order], held.norms[order], [held.metadata[at] for at in order]
    )
    unseen_bound = -math.inf if len(order) == len(similarities) else float(similarities[order[-1]])
    return Found(best, unseen_bound, kth=float(similarities[order[2]]))


def rows(count: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def best_ids(vector: Vector, held: Documents, k: int, metric: Metric) -> list[int]:
    """The exact answer, ties by id."""
    similarities = distance.similarities(held.vectors, vector, metric)
    ids: list[int] = held.doc_ids[np.lexsort((held.doc_ids, -similarities))[:k]].tolist()
    return ids


NOTHING = documents(1, np.empty((0, DIMENSION), np.float32))
