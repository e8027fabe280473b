"""Copies of documents that point lookups ask for again and again.

A document leaves the moment it is written or deleted, before the write is acknowledged, and one that was read
while a commit was being applied is not kept (commit_sequence.py): so a cached document is never older than an
acknowledged write. Which documents are kept is up to a policy; the others run beside it as ghosts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kyrodb.cache.access_log import AccessLog
from kyrodb.cache.admission_control import AdmissionControl
from kyrodb.cache.commit_sequence import CommitSequence
from kyrodb.cache.ghosts import Ghosts
from kyrodb.cache.policies.learned import Learned
from kyrodb.cache.policies.lru import Lru
from kyrodb.cache.policies.policy import Policy
from kyrodb.cache.policies.s3fifo import S3Fifo
from kyrodb.cache.policies.sieve import Sieve
from kyrodb.cache.policies.split import Split
from kyrodb.cache.policies.tinylfu import WTinyLfu
from kyrodb.cache.predictor import Predictor, Training
from kyrodb.cache.semantic_admission import SemanticAdmission, likest
from kyrodb.types import Vector

_SWITCH_GAIN: Final = 0.01
"""Hit ratio by which another policy must be better, in _SWITCH_TIMES reviews in a row, before `auto` takes it."""
_SWITCH_TIMES: Final = 2
_SWITCH_LOOKUPS_MIN: Final = 500
"""Sampled lookups between two reviews for a review to count."""


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """What the document cache is told; durations in seconds, scores and shares between 0 and 1.

    `strategy` is off, lru, learned, abtest (half of the ids each) or auto (whichever ghost does best). The
    predictor ranks `tracked_max` documents from accesses of the last `window_s`, at most `log_max` of them, at
    least `samples_min`. `control_interval_s` None leaves the threshold as trained.
    """

    strategy: str = "off"
    capacity: int = 10_000
    tracked_max: int = 40_000
    log_max: int = 1_000_000
    window_s: float = 3600.0
    halflife_s: float = 1800.0
    samples_min: int = 100
    threshold_min: float = 0.15
    target_fill: float = 0.9
    control_interval_s: float | None = 15.0
    bias_max: float = 0.18
    score_high: float = 0.6
    similarity_min: float = 0.8
    vectors_max: int = 2000
    logs_accesses: bool = True


@dataclass(frozen=True, slots=True)
class CachedDocument:
    """A document as it is: its vector, and its metadata in the form of metadata_wire, public and reserved."""

    vector: Vector
    public: bytes
    reserved: bytes


class DocumentCache:
    """Thread-safe. An id is a types.Key, of a document that exists; times come from `now_s`."""

    def __init__(
        self, options: DocumentOptions, dimension: int, commits: CommitSequence, now_s: Callable[[], float]
    ) -> None:
        self._options = options
        self.logs_accesses = options.logs_accesses
        self.target_fill = options.target_fill
        self._commits = commits
        self._now_s = now_s
        self._lock = threading.Lock()
        self._documents: dict[int, CachedDocument] = {}
        self._offered: Vector | None = None
        self.log = AccessLog(options.log_max)
        self.predictor = Predictor(self._training(options.capacity), now_s())
        self.control = self._control()
        self.semantic = SemanticAdmission(
            dimension,
            score_high=options.score_high,
            similarity_min=options.similarity_min,
            vectors_max=options.vectors_max,
        )
        self.ghosts = Ghosts(options.capacity, {"learned": self._ghost, **_PLAIN})
        self.live = "learned" if options.strategy == "auto" else options.strategy
        """The policy that decides now."""
        self.policy = self._policy(self.live, options.capacity)
        self.hits = self.misses = self.evictions = 0
        self.trainings = self.trainings_skipped = self.switches = 0
        self._reviewed: tuple[int, dict[str, int]] = (0, dict(self.ghosts.hits))
        self._ahead: tuple[str, int] = ("", 0)

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def learned(self) -> Learned | None:
        """The learned policy, when it decides about some documents at least."""
        policy = self.policy.parts["learned"] if isinstance(self.policy, Split) else self.policy
        return policy if isinstance(policy, Learned) else None

    # --- lookups ----------------------------------------------------------------------------------

    def get(self, doc_id: int) -> CachedDocument | None:
        """The document if it is held. One that is not should be looked up elsewhere and handed to `keep`."""
        if self._commits.quiet() is None:
            return None
        with self._lock:
            document = self._documents.get(doc_id)
            if document is not None:
                self.hits += 1
                self.policy.touch(doc_id)
                self.ghosts.access(doc_id)
        if document is not None and self.logs_accesses:
            self.log.add_one(doc_id, self._now_s())
        return document

    def keep(self, doc_id: int, vector: Vector, public: bytes, reserved: bytes, since: int) -> None:
        """A document that was found elsewhere, read after the commit sequence said `since`; it is copied if kept."""
        with self._lock:
            self.misses += 1
            self.policy.touch(doc_id)
            self.ghosts.access(doc_id)
            if self._commits.number == since and doc_id not in self._documents:
                self._offer(doc_id, vector, public, reserved)
        if self.logs_accesses:
            self.log.add_one(doc_id, self._now_s())

    def _offer(self, doc_id: int, vector: Vector, public: bytes, reserved: bytes) -> None:
        self._offered = vector
        gone = self.policy.offer(doc_id)
        if gone is None:
            return
        copy = vector.copy()
        copy.flags.writeable = False
        self._documents[doc_id] = CachedDocument(copy, public, reserved)
        self.semantic.admitted(copy)
        for one in gone:
            del self._documents[one]
        self.evictions += len(gone)

    def note(self, doc_ids: Sequence[int]) -> None:
        """Documents that were read, here or as results of a search: what training learns from."""
        if self.logs_accesses:
            self.log.add(doc_ids, self._now_s())

    def forget(self, doc_ids: Iterable[int]) -> None:
        """These are written or deleted. For the writer, between `begin` and `end` of the CommitSequence."""
        with self._lock:
            for doc_id in doc_ids:
                self.ghosts.forget(doc_id)
                if self._documents.pop(doc_id, None) is not None:
                    self.policy.forget(doc_id)

    # --- in the background ------------------------------------------------------------------------

    def train(self) -> bool:
        """Learn from the log of accesses; False when there are too few."""
        now_s = self._now_s()
        doc_ids, times = self.log.since(now_s - self._options.window_s)
        if len(doc_ids) < self._options.samples_min:
            self.trainings_skipped += 1
            return False
        trained = Predictor(self._training(self._options.capacity), now_s)
        trained.train(doc_ids, times, now_s)
        with self._lock:
            self.predictor = trained
            learned, ghost = self.learned, self.ghosts.policies["learned"]
            if learned is not None:
                learned.predictor = trained
            assert isinstance(ghost, Learned)
            ghost.predictor.prune(now_s)
        self.trainings += 1
        return True

    def compare(self) -> None:
        """Compare documents that missed the threshold with those taken lately."""
        with self._lock:
            doc_ids, rows, others = self.semantic.take_noted()
        greatest = likest(rows, others)
        with self._lock:
            self.semantic.judge(doc_ids, greatest)

    def review(self) -> None:
        """With strategy `auto`: take the policy whose ghost has been clearly better for a while."""
        if self._options.strategy != "auto":
            return
        with self._lock:
            lookups, before = self._reviewed
            if self.ghosts.lookups - lookups < _SWITCH_LOOKUPS_MIN:
                return
            gained = {name: hits - before[name] for name, hits in self.ghosts.hits.items()}
            best = max(gained, key=lambda name: gained[name])
            lead = (gained[best] - gained[self.live]) / (self.ghosts.lookups - lookups)
            times = self._ahead[1] + 1 if self._ahead[0] == best else 1
            self._ahead = (best, times) if lead >= _SWITCH_GAIN else ("", 0)
            self._reviewed = (self.ghosts.lookups, dict(self.ghosts.hits))
            if self._ahead[1] >= _SWITCH_TIMES:
                self._switch(best)

    def _switch(self, name: str) -> None:
        """Hand what is held to another policy."""
        policy = self._policy(name, self._options.capacity)
        for doc_id in self.policy.held():
            policy.offer(doc_id)
        self._documents = {doc_id: one for doc_id, one in self._documents.items() if doc_id in policy}
        self.policy, self.live, self._ahead = policy, name, ("", 0)
        self.switches += 1

    # --- state ------------------------------------------------------------------------------------

    def learned_state(self) -> bytes:
        """What was learned, for `restore` after a restart."""
        with self._lock:
            return self.predictor.encode(self._now_s())

    def restore(self, state: bytes) -> None:
        """Take over what was learned before. Raises ValueError for what is no such state."""
        with self._lock:
            self.predictor.decode(state, self._now_s())

    # --- policies ---------------------------------------------------------------------------------

    def _policy(self, name: str, capacity: int) -> Policy:
        if name == "abtest":
            half = max(1, capacity // 2)
            return Split({"lru": Lru(half), "learned": self._policy("learned", max(1, capacity - half))})
        if name != "learned":
            return _PLAIN[name](capacity)
        return Learned(
            capacity,
            self.predictor,
            self.control,
            target_fill=self._options.target_fill,
            now_s=self._now_s,
            favoured=self._favours,
        )

    def _ghost(self, capacity: int) -> Policy:
        return Learned(
            capacity,
            Predictor(self._training(capacity), self._now_s()),
            self._control(),
            target_fill=self._options.target_fill,
            now_s=self._now_s,
        )

    def _favours(self, doc_id: int, score: float, threshold: float) -> bool:
        assert self._offered is not None
        return self.semantic.favours(doc_id, score, self._offered)

    def _training(self, capacity: int) -> Training:
        options = self._options
        tracked_max = max(capacity, options.tracked_max * capacity // options.capacity)
        return Training(tracked_max, capacity, options.halflife_s, options.threshold_min)

    def _control(self) -> AdmissionControl | None:
        options = self._options
        if options.control_interval_s is None:
            return None
        return AdmissionControl(
            target_fill=options.target_fill,
            interval_s=options.control_interval_s,
            bias_max=options.bias_max,
            now_s=self._now_s(),
        )


_PLAIN: Final[dict[str, Callable[[int], Policy]]] = {
    "lru": Lru,
    "sieve": Sieve,
    "s3fifo": S3Fifo,
    "wtinylfu": WTinyLfu,
}
