"""The write-ahead log of an open database: segments, durability policy, and the way back from a disk error.

Every acknowledged write is in here first. The rule about failure: after an OSError the segment that met it is
never touched again. `_start_new_segment` closes it, in the MANIFEST, at the last position known to be on disk,
writes every accepted frame behind that position again from memory into a new segment, adds a probe, syncs file
and directory, reads the bytes back, and only then lets writes through. Retrying the old file instead loses data:
the kernel may have dropped the failed pages and report success for them (https://lwn.net/Articles/752063/).
"""

from __future__ import annotations

import contextlib
import errno
import operator
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from pykyro.model.errors import DataDamaged, Unavailable, WriteFailed
from pykyro.model.types import LSN
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest, WalEntry
from pykyro.storage.manifest_store import ManifestStore
from pykyro.storage.position_file import CHECKSUM, PLACE, head_of
from pykyro.storage.wal.breaker import COOLDOWN_S, Breaker, BreakerState
from pykyro.storage.wal.format import EPOCH_BYTES, OPERATION, PROBE, SegmentHeader
from pykyro.storage.wal.reader import read_segment
from pykyro.storage.wal.writer import PendingFrame, WalPosition, WalWriter
from pykyro.system.clock import WALL_MAX_US, Clock

UNSYNCED_BYTES_MAX: Final = 16 << 20
"""Frames accepted but not yet synced are kept in memory; beyond this many bytes the log syncs at once."""
PROBE_BYTES: Final = 64 << 10


class SyncPolicy(Enum):
    """What an fsync covers: nothing, the data, or the data and every attribute of the file."""

    NONE = "none"
    DATA_ONLY = "data_only"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`interval_ms` 0 syncs before the acknowledgement; otherwise `sync` must be called at least that often.

    After a disk error the disk is tried again every `breaker_cooldown_s` seconds.
    """

    policy: SyncPolicy = SyncPolicy.DATA_ONLY
    interval_ms: int = 0
    segment_bytes_max: int = 100 << 20
    breaker_cooldown_s: float = COOLDOWN_S

    @property
    def syncs_before_ack(self) -> bool:
        return self.policy is SyncPolicy.FULL or (
            self.policy is SyncPolicy.DATA_ONLY and self.interval_ms == 0
        )


class Log:
    """Appends, syncs, rotates. `append`, `rotate`, `probe` and `close` belong to one thread at a time (the write
    path's lock); `sync` may run beside them."""

    takes_writes = True

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        clock: Clock,
        options: LogOptions,
        manifests: ManifestStore,
        start: WalPosition,
    ) -> None:
        """Opens a new segment that follows `start`. Raises OSError."""
        self._filesystem = filesystem
        self._directory = directory
        self._clock = clock
        self._options = options
        self._manifests = manifests
        self._syncs_before_ack = options.syncs_before_ack
        self._data_only = options.policy is not SyncPolicy.FULL
        self._epoch = os.urandom(EPOCH_BYTES)
        self._unsynced: deque[tuple[LSN, PendingFrame]] = deque()
        self._unsynced_bytes = 0
        self._syncing = threading.Lock()
        self._state = threading.Lock()
        self.breaker = Breaker(clock, options.breaker_cooldown_s)
        self.writes = 0
        self.bytes_written = 0
        self.syncs = 0
        self.has_types = manifests.current.has_types
        """Whether frames may hold metadata values that are not text."""
        self.on_sync: Callable[[float], None] = lambda duration_s: None
        """Told how long each sync of accepted frames took; two are never told at once."""
        self.has_hole = False
        """A segment was removed while it was open, so what it held is in memory alone until that is sealed."""
        self._note_head = head_of(filesystem, directory)
        self._note = filesystem.open_note(directory / filename.POSITION)
        self._writer = self._new_segment(start)
        # Whoever sees this segment in the MANIFEST finds out here how much of it is accepted.
        self._publish()
        try:
            manifests.update(lambda manifest: manifest.with_wal(_open_entry(self._writer)))
        except BaseException:
            self._writer.close()
            raise

    @property
    def position(self) -> LSN:
        """LSN of the last accepted frame."""
        return self._writer.written.lsn

    @property
    def segment_empty(self) -> bool:
        """Whether nothing was written since the last rotation."""
        return self._writer.empty

    @property
    def unsynced_frames(self) -> int:
        return len(self._unsynced)

    @property
    def unsynced_age_s(self) -> float:
        """Seconds since the oldest frame was accepted that is not known to be on disk; 0 when all are."""
        with self._state:
            if not self._unsynced:
                return 0.0
            return max(0, self._clock.wall_us() - self._unsynced[0][1].time_us) / 1e6

    def announce(self, *, merges: bool, types: bool, expiry: bool = False, keys: bool = False) -> None:
        """Let the MANIFEST say, durably, that frames may hold MERGE records, metadata values that are not text,
        documents that go at an instant, or idempotency keys, of which earlier programs know none. To be called before
        such a frame is appended; does nothing when it is said already. Raises Unavailable or WriteFailed; then none
        may be appended."""
        current = self._manifests.current
        known = (current.has_merges, current.has_types, current.has_expiry, current.has_keys)
        if all(map(operator.ge, known, (merges, types, expiry, keys))):
            return
        self.require_writable()
        with self._tripping("change of the MANIFEST"):
            self._manifests.update(
                lambda known: known.announcing(merges=merges, types=types, expiry=expiry, keys=keys)
            )
            self.has_types = self.has_types or types

    def append(self, contents: Sequence[bytes]) -> list[LSN]:
        """Accept one operation frame per content, durable as the policy promises when this returns.

        Raises Unavailable while the breaker is open, with nothing to accept too, and WriteFailed when the disk
        refuses; then none of the frames is accepted.
        """
        if self.breaker.state is not BreakerState.CLOSED:
            self.require_writable()
        if not contents:
            return []
        now_us, frames = min(max(0, self._clock.wall_ns() // 1000), WALL_MAX_US), []
        for content in contents:
            frames.append(PendingFrame(OPERATION, content, now_us))  # noqa: PERF401
        writer = self._writer
        # What fails before the guard has touched nothing, and says nothing about the disk.
        encoded = writer.encode(frames)
        before = writer.written
        try:
            lsns = writer.write(encoded)
            if self._syncs_before_ack:
                with self._syncing:
                    started_s = self._clock.monotonic_s()
                    writer.sync(data_only=self._data_only)
                    self.syncs += 1
                    self.on_sync(self._clock.monotonic_s() - started_s)
        except BaseException as error:
            failure = self._failed(error, "write to the log")
            writer.roll_back(before)
            if failure is error:
                raise
            raise failure from error
        self._publish()
        self.writes += len(lsns)
        self.bytes_written += writer.written.offset - before.offset
        if not self._syncs_before_ack:
            self._remember(lsns, frames)
        # The write that crossed a bound is accepted already, so a failure here opens the breaker and is reported by
        # the next write.
        if writer.written.offset >= self._options.segment_bytes_max:
            with contextlib.suppress(WriteFailed, Unavailable):
                self.rotate()
        elif self._unsynced_bytes > UNSYNCED_BYTES_MAX:
            with contextlib.suppress(WriteFailed, Unavailable):
                self.sync()
        return lsns

    def sync(self) -> None:
        """Make every accepted frame durable. Raises WriteFailed; does nothing while the breaker is open."""
        with self._syncing:
            writer = self._writer
            if not self.breaker.closed or writer.synced.lsn == writer.written.lsn:
                return
            with self._tripping("sync of the log"):
                started_s = self._clock.monotonic_s()
                writer.sync(data_only=self._data_only)
                self.syncs += 1
                self.on_sync(self._clock.monotonic_s() - started_s)
            self._forget_up_to(writer.synced.lsn)

    def rotate(self) -> LSN:
        """Seal the segment and open the next; the position of the seal. Raises Unavailable or WriteFailed."""
        self.require_writable()
        sealed = self._writer
        with self._tripping("rotation of the log"):
            with self._syncing:
                sealed.seal(self._clock.wall_us())
            self.syncs += 1
            self._adopt(self._new_segment(sealed.written), closing=sealed)
        return sealed.written.lsn

    def require_writable(self) -> None:
        """Probe the disk when that is due. Raises Unavailable while the breaker is open."""
        if self.breaker.closed:
            return
        if self.breaker.seconds_to_probe == 0:
            self.probe()
        if not self.breaker.closed:
            raise Unavailable(
                f"WAL circuit breaker is open - writes disabled: {self.breaker.reason}. Free space or mend the "
                f"disk; the next try is in {self.breaker.seconds_to_probe:.0f} s"
            )

    def probe(self) -> None:
        """Try to get back to work after a disk error. Leaves the breaker closed or open for another cooldown."""
        self.breaker.begin_probe()
        with contextlib.suppress(WriteFailed), self._tripping("probe of the disk"):
            self._start_new_segment()
            self.breaker.close()

    def close(self) -> None:
        """Seal the last segment and say so in the MANIFEST. Raises WriteFailed when that cannot be done."""
        if not self.breaker.closed:
            self.probe()
        try:
            if not self.breaker.closed:
                raise WriteFailed(self.breaker.reason, path=self._directory / self._writer.name)
            with self._tripping("clean stop of the log"), self._syncing:
                if self._writer.empty and self._has_predecessor:
                    self._manifests.update(lambda manifest: manifest.without_wal(self._writer.name))
                else:
                    # The only one stays even if it is empty: where there was a log, there is one.
                    self._writer.seal(self._clock.wall_us())
                    self._manifests.update(lambda manifest: manifest.with_wal(_closed_entry(self._writer)))
        finally:
            self._writer.close()
            self._note.close()
        self._remove_obsolete()

    def _publish(self) -> None:
        """Let readers in other processes know what was accepted. They need no more than the newest word, so one that
        the disk does not take is made good by the next."""
        writer = self._writer
        content = self._note_head + PLACE.pack(writer.number, writer.written.offset, writer.written.lsn)
        with contextlib.suppress(OSError):
            self._note.put(content + CHECKSUM.pack(zlib.crc32(content)))

    @property
    def _has_predecessor(self) -> bool:
        """Whether there is a segment before the open one, for the next start to continue."""
        before = self._manifests.current.wal[:-1]
        return bool(before) and self._filesystem.exists(self._directory / before[-1].name)

    def _start_new_segment(self) -> None:
        failed = self._writer
        # A sync that was under way when the disk failed may still move the position: wait for its end.
        with self._syncing:
            durable = failed.synced
        with self._state:
            frames = [frame for lsn, frame in self._unsynced if lsn > durable.lsn]
        frames.append(PendingFrame(PROBE, bytes(PROBE_BYTES), self._clock.wall_us()))
        writer = self._new_segment(durable)
        try:
            writer.append(frames)
            writer.sync(data_only=False)
            self._read_back(writer, frames)
        except BaseException:
            writer.close()
            with contextlib.suppress(OSError):
                self._filesystem.remove(self._directory / writer.name)
            raise
        self._adopt(writer, closing=failed)

    def _read_back(self, writer: WalWriter, frames: Sequence[PendingFrame]) -> None:
        path = self._directory / writer.name
        try:
            contents = read_segment(self._filesystem.read(path), path)
        except DataDamaged as error:
            raise OSError(errno.EIO, f"the disk gives back other bytes: {error.reason}") from None
        if [(f.kind, f.content) for f in contents.frames] != [(f.kind, f.content) for f in frames]:
            raise OSError(errno.EIO, "the disk does not give back what was written to it")

    def _adopt(self, writer: WalWriter, *, closing: WalWriter) -> None:
        """Name `writer` as the open segment and `closing` as ended at its last synced position."""

        def change(manifest: Manifest) -> Manifest:
            if closing.synced.lsn < closing.base_lsn:
                manifest = manifest.without_wal(closing.name)
            else:
                manifest = manifest.with_wal(_closed_entry(closing))
            return manifest.with_wal(_open_entry(writer))

        try:
            self._manifests.update(change)
        except BaseException:
            # The MANIFEST may name the new segment all the same, so its file stays for now.
            writer.close()
            raise
        self.has_hole = self.has_hole or not closing.has_its_file
        with self._syncing:
            self._writer = writer
            self._forget_up_to(writer.synced.lsn)
            closing.close()
        self._publish()
        # Each probe that failed late left a segment; on a full disk they must not pile up.
        self._remove_obsolete()

    def _remove_obsolete(self) -> None:
        for name in self._manifests.take_obsolete():
            with contextlib.suppress(OSError):
                self._filesystem.remove(self._directory / name)

    def _new_segment(self, previous: WalPosition) -> WalWriter:
        header = SegmentHeader(
            base_lsn=previous.lsn + 1,
            previous=previous.checksum,
            created_us=max(previous.time_us, self._clock.wall_us()),
            salt=os.urandom(16),
            epoch=self._epoch,
        )
        return WalWriter(self._filesystem, self._directory, self._manifests.take_number(), header)

    def _remember(self, lsns: Sequence[LSN], frames: Sequence[PendingFrame]) -> None:
        with self._state:
            self._unsynced.extend(zip(lsns, frames, strict=True))
            self._unsynced_bytes += sum(len(frame.content) for frame in frames)

    def _forget_up_to(self, lsn: LSN) -> None:
        with self._state:
            while self._unsynced and self._unsynced[0][0] <= lsn:
                self._unsynced_bytes -= len(self._unsynced.popleft()[1].content)

    @contextlib.contextmanager
    def _tripping(self, doing: str) -> Iterator[None]:
        """Opens the breaker when the block does not come to its end: then nobody knows what the segment holds."""
        try:
            yield
        except BaseException as error:
            failure = self._failed(error, doing)
            if failure is error:
                raise
            raise failure from error

    def _failed(self, error: BaseException, doing: str) -> BaseException:
        """Open the breaker, since nobody knows now what the segment holds; what to raise."""
        if isinstance(error, OSError):
            self.breaker.trip(error, doing)
            return WriteFailed(
                self.breaker.reason,
                path=self._directory / self._writer.name,
                hint="Writes are refused until the disk is proved good again",
            )
        # An interrupt between a write and the note that it happened is as bad as a failed write.
        self.breaker.trip(OSError(errno.EINTR, os.strerror(errno.EINTR)), doing)
        return error


def _open_entry(writer: WalWriter) -> WalEntry:
    return WalEntry(name=writer.name, base_lsn=writer.base_lsn)


def _closed_entry(writer: WalWriter) -> WalEntry:
    return WalEntry(
        name=writer.name,
        base_lsn=writer.base_lsn,
        last_lsn=writer.synced.lsn,
        end_offset=writer.synced.offset,
    )
