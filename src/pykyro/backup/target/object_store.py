"""Backups in an object store: Amazon S3 and what speaks it, Google Cloud Storage, Azure Blob Storage.

An object is uploaded in parts and appears when the last request has succeeded, so a backup is there whole or not at
all. An upload whose writer died is for a lifecycle rule of the bucket to remove. One writer at a time is kept by an
object that only one can create (a conditional write, which these stores have).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Final
from uuid import uuid4

import obstore

from pykyro.backup import filename
from pykyro.backup.target.target import Readable, Upload
from pykyro.model.errors import DataDirInUse
from pykyro.model.types import BytesLike
from pykyro.storage.files.filesystem import Lock
from pykyro.storage.objects.cloud_error import as_os_error
from pykyro.storage.objects.cloud_store import CloudStore, open_store
from pykyro.system.job_thread import Job, JobThread

PART_BYTES: Final = 16 << 20
_PARTS: Final = 5_000
"""Parts that an object of the announced size is cut into at most. S3 allows 10,000, so it may grow to twice that."""
READ_AHEAD_BYTES: Final = 256 << 10
LOCK_STALE_S: Final = 86_400.0
"""A lock older than this was left by a writer that died."""
_ABANDON_WAIT_S: Final = 30.0


class ObjectStoreTarget:
    """Objects under a prefix of a bucket (Azure: of a container)."""

    def __init__(self, bucket: str, prefix: str, scheme: str = "s3") -> None:
        """`scheme` is s3, gs or az. Makes no request yet. Raises OSError when the settings for the store are missing
        or wrong."""
        prefix = prefix.strip("/")
        self._location = f"{scheme}://{bucket}/{prefix}".rstrip("/")
        with as_os_error(self._location):
            self._store: CloudStore = open_store(scheme, bucket, prefix)

    @property
    def location(self) -> str:
        return self._location

    def sizes(self) -> dict[str, int]:
        with as_os_error(self.location):
            found = obstore.list_with_delimiter(self._store)["objects"]
        sizes = {item["path"].rpartition("/")[2]: item["size"] for item in found}
        return {
            name: size for name, size in sizes.items() if filename.archive_id(name) or filename.entry_id(name)
        }

    def open(self, name: str) -> Readable:
        place = f"{self.location}/{name}"
        with as_os_error(place):
            size_bytes = obstore.head(self._store, name)["size"]
        return _Object(self._store, name, place, size_bytes)

    def create(self, name: str, expected_bytes: int = 0) -> Upload:
        part_bytes = max(PART_BYTES, -(-expected_bytes // _PARTS))
        return _PartsUpload(self._store, name, f"{self.location}/{name}", part_bytes)

    def put(self, name: str, data: bytes) -> None:
        with as_os_error(f"{self.location}/{name}"):
            obstore.put(self._store, name, data, use_multipart=False)

    def remove(self, name: str) -> None:
        # Amazon's store is content when there is no such object, the others say so.
        with contextlib.suppress(FileNotFoundError), as_os_error(f"{self.location}/{name}"):
            obstore.delete(self._store, name)

    def lock(self) -> Lock:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "time_s": int(time.time())}
        body = json.dumps(owner | {"token": uuid4().hex}).encode()
        place = f"{self.location}/{filename.LOCK}"
        for _ in range(2):
            try:
                with as_os_error(place):
                    obstore.put(self._store, filename.LOCK, body, mode="create", use_multipart=False)
                return _ObjectLock(self)
            except FileExistsError:
                # Made by a request whose answer was lost and that was sent again, it is ours.
                if self._lock_is(body, place):
                    return _ObjectLock(self)
                self._remove_stale_lock(place)
            except BaseException:
                # It may be there although its answer never came.
                with contextlib.suppress(OSError):
                    if self._lock_is(body, place):
                        self.remove(filename.LOCK)
                raise
        raise DataDirInUse(
            "another process took the lock just now",
            path=place,
            owner_pid=0,
            hint="Try again when it is done",
        )

    def free_bytes(self) -> int | None:
        return None

    def _remove_stale_lock(self, place: str) -> None:
        """Raises DataDirInUse when the lock is not old enough to have been left behind."""
        try:
            content, made = self._read_lock(place)
        except FileNotFoundError:
            return
        age_s = (datetime.datetime.now(datetime.UTC) - made).total_seconds()
        if age_s < LOCK_STALE_S:
            words = content[:1000].decode("utf-8", "replace")
            raise DataDirInUse(
                f"another process is changing the backups: {words!r}, {age_s:.0f} s ago",
                path=place,
                owner_pid=0,
                hint="Try again when it is done. If that process has ended, remove this object",
            )
        self.remove(filename.LOCK)

    def _lock_is(self, body: bytes, place: str) -> bool:
        try:
            return self._read_lock(place)[0] == body
        except FileNotFoundError:
            return False

    def _read_lock(self, place: str) -> tuple[bytes, datetime.datetime]:
        with as_os_error(place):
            found = obstore.get(self._store, filename.LOCK)
            return bytes(found.bytes()), found.meta["last_modified"]


class _Object:
    """An object read by ranges. The bytes around a small one are kept for the next."""

    def __init__(self, store: CloudStore, name: str, place: str, size_bytes: int) -> None:
        self._store = store
        self._name = name
        self._place = place
        self._size_bytes = size_bytes
        self._kept_start, self._kept = 0, memoryview(b"")

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read(self, start: int, length: int) -> BytesLike:
        end = min(start + length, self._size_bytes)
        if start >= end:
            return b""
        if not self._kept_start <= start <= end <= self._kept_start + len(self._kept):
            last = min(max(end, start + READ_AHEAD_BYTES), self._size_bytes)
            with as_os_error(self._place):
                found = obstore.get_range(self._store, self._name, start=start, end=last)
            self._kept_start, self._kept = start, memoryview(found)
        return self._kept[start - self._kept_start : end - self._kept_start]


class _Abandoned(Exception):
    """Ends an upload without an object."""


class _PartsUpload:
    """A multipart upload; a short object goes in one request.

    obstore takes the bytes from an iterator, and takes the parts back when that iterator raises. So a thread of its
    own sends what `write` gives; `write` waits until the part before has been taken.
    """

    def __init__(self, store: CloudStore, name: str, place: str, part_bytes: int) -> None:
        self._store = store
        self._name = name
        self._place = place
        self._part_bytes = part_bytes
        self._waiting = bytearray()
        self._thread = JobThread()
        self._job: Job[None] | None = None
        self._parts: SimpleQueue[bytes | None] = SimpleQueue()
        """None abandons the upload, an empty part ends it."""
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        """One item for each part that may be given; False when no more is taken."""
        self._ending = False

    def write(self, data: BytesLike) -> None:
        self._waiting += data
        if len(self._waiting) >= self._part_bytes:
            part, self._waiting = bytes(self._waiting), bytearray()
            self._give(part)

    def finish(self) -> None:
        self._ending = True
        if self._job is None:
            with as_os_error(self._place):
                obstore.put(self._store, self._name, bytes(self._waiting), use_multipart=False)
            return
        if self._waiting:
            self._give(bytes(self._waiting))
        self._give(b"")
        self._end(self._job)

    def abandon(self) -> None:
        if self._job is not None:
            self._parts.put(None)
            self._job.wait(_ABANDON_WAIT_S)
            self._thread.stop()
        if self._ending:
            # The object may be there although its answer never came.
            with contextlib.suppress(OSError), as_os_error(self._place):
                obstore.delete(self._store, self._name)

    def _give(self, part: bytes) -> None:
        if self._job is None:
            self._job = Job(self._send)
            self._thread.submit(self._job)
        if not self._wanted.get():
            self._end(self._job)
        self._parts.put(part)

    def _end(self, job: Job[None]) -> None:
        with as_os_error(self._place):
            job.result()
        self._thread.stop()

    def _send(self) -> None:
        try:
            obstore.put(
                self._store, self._name, self._taken(), chunk_size=self._part_bytes, max_concurrency=1
            )
        finally:
            self._wanted.put(False)

    def _taken(self) -> Iterator[bytes]:
        while True:
            self._wanted.put(True)
            part = self._parts.get()
            if part is None:
                raise _Abandoned
            if not part:
                return
            yield part


class _ObjectLock:
    def __init__(self, target: ObjectStoreTarget) -> None:
        self._target = target

    def release(self) -> None:
        self._target.remove(filename.LOCK)
