"""What many threads did and saw, and whether one database could have answered so.

Every write has a position in the log, so the writes of one document have a total order: its timeline. A read is right
when it shows an entry of the timeline that was not yet overtaken by a write acknowledged before the read began, that
had begun before the read ended, and that is no older than what an earlier read has shown.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.crash.oracle import Doc, State, apply, effect

from pykyro.model.requests import Ack, Operation, Put


@dataclass(frozen=True, slots=True)
class Written:
    """An acknowledged write: when it was asked for and answered, on a clock that only counts."""

    began: int
    ended: int
    operation: Operation
    ack: Ack


@dataclass(frozen=True, slots=True)
class Seen:
    """A read of one document: its value then, or None."""

    began: int
    ended: int
    doc_id: int
    doc: Doc | None


@dataclass(slots=True)
class History:
    """Recorded by many threads at once."""

    writes: list[Written] = field(default_factory=list)
    reads: list[Seen] = field(default_factory=list)
    _clock: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> int:
        with self._lock:
            return next(self._clock)

    def judge(self) -> State:
        """Raises AssertionError at the first answer that no order explains; the state after all writes."""
        timelines, state = self._replay()
        reads: defaultdict[int, list[Seen]] = defaultdict(list)
        for seen in self.reads:
            reads[seen.doc_id].append(seen)
        for doc_id, seen_of_one in reads.items():
            _judge_reads(doc_id, timelines.get(doc_id, [_NEVER]), seen_of_one)
        return state

    def _replay(self) -> tuple[dict[int, list[_Entry]], State]:
        """The timeline of every document, from the writes in the order of the log."""
        changing = [w for w in self.writes if isinstance(w.operation, Put) or w.ack.existed]
        changing.sort(key=lambda written: written.ack.lsn)
        lsns = [written.ack.lsn for written in changing]
        assert len(set(lsns)) == len(lsns), "two writes share a position"
        timelines: defaultdict[int, list[_Entry]] = defaultdict(lambda: [_NEVER])
        state: State = {}
        for written in changing:
            change = effect(written.operation, state)
            if not isinstance(written.operation, Put):
                assert len(change) == written.ack.existed, (
                    f"position {written.ack.lsn}: {written.operation} met {written.ack.existed} documents, "
                    f"in the order of the log it meets {len(change)}"
                )
            for doc_id, doc in change.items():
                timelines[doc_id].append(_Entry(written.began, written.ended, doc))
            state = apply(state, [change])
        return timelines, state


@dataclass(frozen=True, slots=True)
class _Entry:
    began: int
    ended: int
    doc: Doc | None


_NEVER = _Entry(-1, -1, None)


def _judge_reads(doc_id: int, timeline: Sequence[_Entry], reads: Sequence[Seen]) -> None:
    placed: list[tuple[int, int]] = []
    for seen in sorted(reads, key=lambda read: read.ended):
        oldest = max(i for i, entry in enumerate(timeline) if entry.ended < seen.began)
        oldest = max([oldest, *(at for ended, at in placed if ended < seen.began)])
        newest = max(i for i, entry in enumerate(timeline) if entry.began < seen.ended)
        fitting = [i for i in range(oldest, newest + 1) if timeline[i].doc == seen.doc]
        if not fitting:
            older = [i for i in range(oldest) if timeline[i].doc == seen.doc]
            kind = "stale read" if older else "value from nowhere"
            raise AssertionError(
                f"{kind}: document {doc_id} was {seen.doc} at {seen.began}..{seen.ended}, while entries "
                f"{oldest}..{newest} of its {len(timeline)} were possible; it fits {older}"
            )
        placed.append((seen.ended, fitting[0]))
