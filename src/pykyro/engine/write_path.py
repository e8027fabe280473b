"""The way of a write, and the only place that decides its order:

    resolve and encode (what does it change?) → log append and sync → apply to the tiers → tell the caches →
    acknowledge

Writers that arrive while a group is being written wait and then share one group, with one fsync: the first of
them leads, the others find their answers (Tim Hesterberg's "leader/follower" group commit, as in LevelDB's
DBImpl::Write). With one caller at a time nothing waits and nothing happens in another thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from pykyro.engine.caches import Caches
from pykyro.engine.capacity import Capacity
from pykyro.engine.options import EngineOptions
from pykyro.engine.resolve import Resolver
from pykyro.engine.state import State
from pykyro.model.errors import KyroError, ResourceExhausted, Unavailable
from pykyro.model.limits import GROUP_FRAMES_BYTES_MAX
from pykyro.model.requests import Ack, Delete, DeleteMany, DeleteMatching, Operation
from pykyro.model.types import LSN
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.wal.log import Log
from pykyro.storage.wal.records import Record
from pykyro.system.alarm import Alarm
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)

Answer: TypeAlias = Ack | KyroError
_GROUP_OPERATIONS_MAX = 4096
_ROOM_WAIT_S = 30.0
_DELETES = (Delete, DeleteMany, DeleteMatching)


class _Pending:
    """One caller's operations on their way into a group."""

    __slots__ = ("answers", "operations")

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self.answers: list[Answer] | None = None


class WritePath:
    """Commits operations. `lock` serialises everything that changes the state: writes, freezing, swapping."""

    def __init__(
        self,
        options: EngineOptions,
        log: Log,
        state: State,
        disk: DiskSpace,
        caches: Caches,
        clock: Clock,
    ) -> None:
        self._options = options
        self._log = log
        self.capacity = Capacity(options.documents_max, options.documents_max_name, clock)
        self._sealing_behind = Alarm(_log, clock)
        self._disk = disk
        self._caches = caches
        self._state = state
        self._queue: deque[_Pending] = deque()
        self._arrivals = threading.Condition()
        self._leading = False
        self._refusal = ""
        self.refusing = ""
        """Why every later write is refused, until the database is opened again; empty while they are taken."""
        self.lock = threading.RLock()
        self.room = threading.Condition()
        self.failed_writes = 0

    def commit(self, operations: Sequence[Operation]) -> list[Answer]:
        """Make operations durable and visible, each succeeding or failing on its own; see Engine.commit."""
        if not self._wait_for_room():
            text = f"the hot tier holds more than {self._options.hot_bytes_max} bytes and sealing does not keep up"
            self._sealing_behind.on(
                f"writes are refused: {text}. The log says above why sealing fails, if it does"
            )
            refusal = ResourceExhausted(text, retry_after_s=_ROOM_WAIT_S)
            return [refusal] * len(operations)
        pending = _Pending(operations)
        with self._arrivals:
            self._queue.append(pending)
            while self._leading and pending.answers is None:
                self._arrivals.wait()
            answers = pending.answers
            if answers is not None:
                return answers
            self._leading = True
            group = self._take_group(pending)
        try:
            self._commit_group(group)
        finally:
            with self._arrivals:
                self._leading = False
                self._arrivals.notify_all()
        assert pending.answers is not None
        return pending.answers

    def close(self) -> None:
        """Refuse every later write; one that is under way is finished first."""
        with self.lock:
            self._refusal = self.refusing = "the database is closed"

    def _take_group(self, leader: _Pending) -> list[_Pending]:
        """The leader and others in order of arrival, as many as one group holds."""
        self._queue.remove(leader)
        group, operations = [leader], len(leader.operations)
        while self._queue and operations < _GROUP_OPERATIONS_MAX:
            group.append(self._queue.popleft())
            operations += len(group[-1].operations)
        return group

    def _commit_group(self, group: Sequence[_Pending]) -> None:
        operations = [operation for pending in group for operation in pending.operations]
        try:
            with self.lock:
                answers = self._write_all(operations)
        except BaseException as error:
            # `_refusal` stands during every write; only of one that ended like this it is true.
            self.refusing = self._refusal
            if self._refusal:
                _log.error("writes are refused: %s (%s)", self._refusal, type(error).__name__)
            # Nobody may be left waiting: a fault of ours, or an interrupt, is every caller's answer.
            for pending in group:
                pending.answers = [_as_answer(error)] * len(pending.operations)
            raise
        at = 0
        for pending in group:
            pending.answers = answers[at : at + len(pending.operations)]
            at += len(pending.operations)

    def _write_all(self, operations: Sequence[Operation]) -> list[Answer]:
        answers = self._write(operations)
        while len(answers) < len(operations):
            answers += self._write(operations[len(answers) :])
        return answers

    def _write(self, operations: Sequence[Operation]) -> list[Answer]:
        """Commit as many of the operations as come to GROUP_FRAMES_BYTES_MAX, nearly always all; their answers."""
        if self._refusal:
            self.refusing = self._refusal
            return [Unavailable(self._refusal)] * len(operations)
        # What deletes add to the log is small, and they are how a caller can make room.
        no_room = self._disk.room().refusal
        resolver = Resolver(self._state, self.capacity)
        answers: list[Answer] = []
        frames: list[tuple[int, list[Record]]] = []
        contents: list[bytes] = []
        content_bytes = 0
        for operation in operations:
            if no_room and not isinstance(operation, _DELETES):
                answers.append(Unavailable(no_room))
                continue
            resolved = resolver.resolve(operation)
            if isinstance(resolved, KyroError):
                answers.append(resolved)
                continue
            if resolved.records:
                frames.append((len(answers), resolved.records))
                contents.append(resolved.content)
                content_bytes += len(resolved.content)
            answers.append(Ack(self._state.position, resolved.existed))
            if content_bytes >= GROUP_FRAMES_BYTES_MAX:
                break
        # Whatever ends this between the log and memory, an interrupt too, leaves the two apart: then nothing more
        # is written until a restart replays the log.
        self._refusal = (
            "an interrupted write left memory behind the log; close the database and open it again"
        )
        position = self._log.position
        try:
            lsns = self._append(contents)
        except KyroError as error:
            self._refusal = ""
            self.failed_writes += len(frames)
            # A write that would change nothing fails too: one that failed earlier may still come back.
            return [error if isinstance(answer, Ack) else answer for answer in answers]
        except BaseException:
            if self._log.position == position:
                # Not one frame was accepted, so memory is not behind.
                self._refusal = ""
            raise
        self._apply(lsns, frames, answers)
        self._refusal = ""
        return answers

    def _apply(
        self, lsns: Sequence[LSN], frames: Sequence[tuple[int, list[Record]]], answers: Sequence[Answer]
    ) -> None:
        if not frames:
            return
        self._caches.begin()
        for lsn, (at, records) in zip(lsns, frames, strict=True):
            self._state.apply(lsn, records)
            answer = answers[at]
            assert isinstance(answer, Ack)
            answer.lsn = lsn
        self._caches.committed([record for _, records in frames for record in records])
        if self._state.documents >= self.capacity.watch_from or self.capacity.alarmed:
            self.capacity.look(self._state.documents)
        if self._sealing_behind.is_on:
            self._sealing_behind.off("writes are accepted again: the hot tier has room")

    def _append(self, contents: Sequence[bytes]) -> list[LSN]:
        if not contents:
            self._log.require_ground()
            return []
        return self._log.append(contents)

    def _wait_for_room(self) -> bool:
        """Writers wait while sealing catches up, so that a burst cannot fill memory; False when it does not."""
        if not self._options.background or not self._crowded():
            return True
        with self.room:
            return self.room.wait_for(lambda: not self._crowded(), timeout=_ROOM_WAIT_S)

    def _crowded(self) -> bool:
        version = self._state.version
        hot = version.active.size_bytes + sum(tier.size_bytes for tier in version.frozen)
        return hot > self._options.hot_bytes_max


def _as_answer(error: BaseException) -> KyroError:
    return error if isinstance(error, KyroError) else Unavailable(f"write failed: {error}")
