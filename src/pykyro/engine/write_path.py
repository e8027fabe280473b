"""The way of a write, and the only place that decides its order:

    queue → group → resolve and encode (what does it change?) → log append and sync → apply to the tiers → tell the
    caches → acknowledge

All writes wait in one queue. While a group is being written others arrive, and share the next one with its one fsync:
the first of them leads it, the others find their answers (Tim Hesterberg's "leader/follower" group commit, as in
LevelDB's DBImpl::Write). A caller that waits in its own thread calls `commit`, and leads there: with one caller at a
time nothing waits and nothing happens in another thread. An event loop must not wait; it calls `submit`, and a thread
that runs `lead_submitted` leads for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from pykyro.engine.caches import Caches
from pykyro.engine.capacity import Capacity
from pykyro.engine.expiration import Expiration
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.pending_write import Answer, LeaderTurns, PendingWrite, as_answer
from pykyro.engine.refusals import refusal_of, too_long
from pykyro.engine.request_keys import key_record
from pykyro.engine.resolve import GroupChanges
from pykyro.engine.room import Room
from pykyro.engine.state import State
from pykyro.model.errors import FailedPrecondition, KyroError, Unavailable
from pykyro.model.expiry import Expiry
from pykyro.model.limits import COMMIT_BYTES_MAX, WAL_FRAME_BODY_BYTES_MAX
from pykyro.model.metadata_wire import TYPES_TAG
from pykyro.model.requests import Ack, Delete, DeleteMany, DeleteMatching, Operation
from pykyro.model.types import LSN
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.request_keys import Acknowledged
from pykyro.storage.wal.log import Log
from pykyro.storage.wal.records import Record, hold_types
from pykyro.storage.wal.writer import encode_records, with_key
from pykyro.system.clock import Clock

if TYPE_CHECKING:
    from pykyro.engine.remote.remote import Remote

_log: Final = logging.getLogger(__name__)

_GROUP_OPERATIONS_MAX = 4096
_DELETES = (Delete, DeleteMany, DeleteMatching)


@dataclass(slots=True)
class _Resolved:
    """What a group has come to before the log is touched: `contents` are the frames of the log, in turn with what
    `frames` says of them."""

    changes: GroupChanges
    answers: list[Answer] = field(default_factory=list)
    frames: list[tuple[Ack, list[Record]]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    new_types: bool = False


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
        memory: EngineMemory,
    ) -> None:
        self._memory = memory
        self._log = log
        self.capacity = Capacity(options.documents_max, options.documents_max_name, clock)
        self._disk = disk
        self._caches = caches
        self._state = state
        self._clock = clock
        self._queue: deque[PendingWrite] = deque()
        self._queue_lock = threading.Lock()
        self._is_led = False
        """Whether a group is being written, or somebody was told to lead the next."""
        self._turns: LeaderTurns = SimpleQueue[bool]()
        """For `lead_submitted`: True to lead a group, False to stop."""
        self.on_answered: Callable[[list[PendingWrite], float], None] = lambda writes, taken_s: None
        """Told, by the thread that led, which submitted writes of a group are done and when the group was taken, on
        time.monotonic; one group at a time."""
        self.group_since_s: float | None = None
        """When the group that is being written was taken; None when none is."""
        self._refusal = ""
        self.read_only: Callable[[], str] | None = None
        """Says why nothing may be written here at all, and where it may; None where it may."""
        self.before_answers: Callable[[list[Answer]], list[Answer]] | None = None
        """Given the answers to a group that is written, what its callers are to be told."""
        self.refusing = ""
        """Why every later write is refused, until the database is opened again; empty while they are taken."""
        self.lock = threading.RLock()
        self.expiration = Expiration(state, log, caches, clock, self.lock)
        self.default_expiry = Expiry(ttl_us=options.default_ttl_us) if options.default_ttl_us else None
        """Of documents that are put without one. May be changed at any time."""
        self.room = Room(options, state, memory, clock)
        self.failed_writes = 0
        self._prefetch: Callable[[State, Sequence[Operation | KyroError]], None] | None = None

    def follow(self, remote: Remote | None) -> None:
        """Have `remote`, if any, asked what a group wants to know of documents there, before the group is written."""
        self.room.remote, self._prefetch = remote, None if remote is None else remote.prefetch

    # --- the queue ------------------------------------------------------------------------------

    def commit(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Make operations durable and visible, each succeeding or failing on its own; see Engine.commit."""
        write = PendingWrite(operations, len(operations))
        with self._queue_lock:
            leads, self._is_led = not self._is_led, True
            if not leads:
                write.turn = threading.Lock()
                write.turn.acquire()
                self._queue.append(write)
        if not leads and write.turn is not None:
            write.turn.acquire()
        if write.answers is None:
            self._lead(write)
        assert write.answers is not None
        return write.answers

    def submit(self, write: PendingWrite) -> None:
        """Queue a write without waiting; `on_answered` is told when it is done."""
        with self._queue_lock:
            self._queue.append(write)
            leads, self._is_led = not self._is_led, True
        if leads:
            self._turns.put(True)

    def lead_submitted(self) -> None:
        """Lead the groups that begin with a submitted write, until `stop_leading`. One thread at a time does."""
        turns = self._turns
        assert isinstance(turns, SimpleQueue)
        while turns.get():
            self.lead_next()

    def led_by(self, turns: LeaderTurns) -> None:
        """Have `turns` told, in place of `lead_submitted`, when a group is to be led: then some thread has to call
        `lead_next` once. Call it before anything is submitted."""
        self._turns = turns

    def lead_next(self) -> None:
        """Lead the group that is to be led."""
        try:
            self._lead(None)
        except Exception:
            _log.exception("a group of writes failed unexpectedly")

    def stop_leading(self) -> None:
        """End `lead_submitted`. Call it when every submitted write is done."""
        self._turns.put(False)

    def close(self) -> None:
        """Refuse every later write; one that is under way is finished first."""
        with self.lock:
            if self._state.may_expire and not self._refusal:
                self.expiration.settle()
            self.expiration.may_log = False
            self._refusal = self.refusing = "the database is closed"

    def _lead(self, own: PendingWrite | None) -> None:
        """Write one group, answer it, and tell the next in the queue to lead, if there is one."""
        group: list[PendingWrite] = []
        taken_s = self.group_since_s = time.monotonic()
        try:
            self._take_group(own, group)
            self._commit_group(group)
        finally:
            # Whatever happened, nobody may be left waiting: neither the writers of this group nor those behind them.
            self.group_since_s = None
            with self._queue_lock:
                following = self._queue[0] if self._queue else None
                self._is_led = following is not None
                if following is not None and following.turn is not None:
                    self._queue.popleft()
            submitted = []
            for write in group:
                if write.turn is not None:
                    write.turn.release()
                elif write is not own:
                    submitted.append(write)
            try:
                if submitted:
                    self.on_answered(submitted, taken_s)
            finally:
                if following is not None and following.turn is not None:
                    following.turn.release()
                elif following is not None:
                    self._turns.put(True)

    def _take_group(self, own: PendingWrite | None, group: list[PendingWrite]) -> None:
        """Fill a group: the leader's own write, if it has one, then others in order of arrival."""
        operations = weight = 0
        weight_max = min(COMMIT_BYTES_MAX, self._memory.group_bytes_max)
        if own is not None:
            group.append(own)
            operations, weight, own.turn = own.size, own.weight, None
        with self._queue_lock:
            while self._queue and operations < _GROUP_OPERATIONS_MAX and weight < weight_max:
                write = self._queue.popleft()
                group.append(write)
                operations += write.size
                weight += write.weight

    def _commit_group(self, group: Sequence[PendingWrite]) -> None:
        operations: list[Operation | KyroError] = []
        wanted = []
        for write in group:
            if write.withdrawn is not None and write.withdrawn():
                continue
            wanted.append(write)
            if write.prepare is not None:
                try:
                    write.operations = write.prepare()
                except Exception as error:
                    _log.exception("%d operations could not be prepared", write.size)
                    write.operations = [as_answer(error)] * write.size
            operations += write.operations
        try:
            answers: list[Answer] = []
            if self._prefetch is not None:
                self._prefetch(self._state, operations)
            while len(answers) < len(operations):
                rest = operations[len(answers) :] if answers else operations
                refusal = None
                if self._state.hot_bytes > self._memory.ask_from:
                    # Deletes are how a caller can make room, and take hardly any.
                    adds = any(not isinstance(operation, (*_DELETES, KyroError)) for operation in rest)
                    refusal = self.room.refusal(may_wait=adds)
                with self.lock:
                    answers += self._write(rest, refusal)
            if self.before_answers is not None:
                answers = self.before_answers(answers)
        except BaseException as error:
            # `_refusal` stands during every write; only of one that ended like this it is true.
            self.refusing = self._refusal
            if self._refusal:
                self.expiration.may_log = False
                _log.error("writes are refused: %s (%s)", self._refusal, type(error).__name__)
            # Nobody may be left waiting: a fault of ours, or an interrupt, is every caller's answer.
            for write in wanted:
                write.answers = [as_answer(error)] * len(write.operations)
            raise
        at = 0
        for write in wanted:
            write.answers = answers[at : at + len(write.operations)]
            at += len(write.operations)

    # --- one group ------------------------------------------------------------------------------

    def _write(
        self, operations: Sequence[Operation | KyroError], no_memory: KyroError | None
    ) -> list[Answer]:
        """Commit as many of the operations as may be in memory at once, nearly always all; their answers."""
        if self.read_only is not None:
            return [FailedPrecondition(self.read_only())] * len(operations)
        if self._refusal:
            self.refusing = self._refusal
            return [Unavailable(self._refusal)] * len(operations)
        state = self._state
        if state.may_expire and (unsettled := self.expiration.settle()) is not None:
            return [unsettled] * len(operations)
        changes = GroupChanges(
            state, state.documents, self._clock.wall_us, self.capacity, self.default_expiry
        )
        group = _Resolved(changes)
        self._resolve(operations, group, no_memory or self._no_disk())
        # Whatever ends this between the log and memory, an interrupt too, leaves the two apart: then nothing more
        # is written until a restart replays the log.
        self._refusal = (
            "an interrupted write left memory behind the log; close the database and open it again"
        )
        position = self._log.position
        try:
            if changes.has_merges or group.new_types or changes.has_expiry or changes.keyed:
                self._announce(changes, types=group.new_types)
            lsns = self._log.append(group.contents)
        except KyroError as error:
            self._refusal = ""
            self.failed_writes += len(group.frames)
            # A write that would change nothing fails too: one that failed earlier may still come back.
            return [error if isinstance(answer, Ack) else answer for answer in group.answers]
        except BaseException:
            if self._log.position == position:
                # Not one frame was accepted, so memory is not behind.
                self._refusal = ""
            raise
        if group.frames:
            self._apply(lsns, group.frames)
        for ack, record in changes.keyed.values():
            state.keys.remember(Acknowledged(ack.lsn, record))
        self._refusal = ""
        return group.answers

    def _no_disk(self) -> KyroError | None:
        """What refuses a write that needs room on the disk."""
        disk = self._disk
        refusal = (disk.last if self._clock.monotonic_s() < disk.look_again_s else disk.room()).refusal
        return Unavailable(refusal) if refusal else None

    def _resolve(
        self, operations: Sequence[Operation | KyroError], group: _Resolved, no_room: KyroError | None
    ) -> None:
        """Answer the operations, as many as may be in memory at once, and make what the log is to hold of them."""
        answers, changes, position = group.answers, group.changes, self._state.position
        types_known, content_bytes = self._log.has_types, 0
        # A key of text looks like the packed id of a tenant (records.py), so its owner is always stated.
        owned = bool(self._state.tenants.documents) or self._state.texts is not None
        for operation in operations:
            if isinstance(operation, KyroError):
                answers.append(operation)
                continue
            terms = getattr(operation, "terms", None)
            key = b"" if terms is None else terms.idempotency_key
            if key and (known := changes.answered_before(operation)) is not None:
                answers.append(known)
                continue
            # What deletes add to the log is small, and they are how a caller can make room.
            if no_room is not None and not isinstance(operation, _DELETES):
                answers.append(no_room)
                continue
            # Everything that can fail because of one operation happens here, before the log is touched: so it fails
            # that operation and no other.
            try:
                existed, records = changes.resolve(operation)
                content = encode_records(records, tenanted=owned) if records else b""
                if key:
                    record = key_record(operation, existed)
                    content = with_key(content, record)
                if len(content) >= WAL_FRAME_BODY_BYTES_MAX:
                    raise too_long(len(content), len(records), WAL_FRAME_BODY_BYTES_MAX)
            except Exception as error:
                answers.append(refusal_of(operation, error))
                continue
            ack = Ack(position, existed)
            answers.append(ack)
            if key:
                changes.keyed[record.owner, record.key] = ack, record
            if content:
                if len(operations) > 1:
                    changes.note(records)
                group.frames.append((ack, records))
                group.contents.append(content)
                if not types_known and TYPES_TAG in content:
                    group.new_types = group.new_types or hold_types(records)
                content_bytes += len(content)
                if content_bytes + changes.merged_bytes >= self._memory.group_bytes_max:
                    break

    def _announce(self, changes: GroupChanges, *, types: bool) -> None:
        """Have the MANIFEST say what the group is the first to bring into the log, if it does not yet."""
        expiry, keys = changes.has_expiry, bool(changes.keyed)
        self._log.announce(merges=changes.has_merges, types=types, expiry=expiry, keys=keys)
        self._state.may_expire = self._state.may_expire or expiry

    def _apply(self, lsns: Sequence[LSN], frames: Sequence[tuple[Ack, list[Record]]]) -> None:
        """Change the tiers as the log says, and tell the caches before anybody is told."""
        self._caches.begin()
        version = self._state.version
        changed: list[Record] = []
        for lsn, (ack, records) in zip(lsns, frames, strict=True):
            self._state.apply_beside_readers(lsn, records)
            changed += records
            ack.lsn = lsn
        self._caches.committed(changed)
        if self._state.version is not version:
            self._caches.release_tiers()
        if self._state.documents >= self.capacity.watch_from or self.capacity.alarmed:
            self.capacity.look(self._state.documents)
        active = self._state.version.active
        if active.size_bytes >= active.charge_from:
            active.charge()
