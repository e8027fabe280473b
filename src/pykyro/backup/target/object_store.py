"""Backups in an object store that speaks S3, through boto3 (the `s3` extra).

Credentials, region and endpoint come from where every AWS tool takes them: environment, configuration files, roles
(AWS_ENDPOINT_URL for another store than Amazon's). An object is uploaded in parts and appears when the last call has
succeeded, so a backup is there whole or not at all; uploads that were never completed are for a lifecycle rule of
the bucket to remove. One writer at a time is kept by an object that only one can create (conditional writes, which
Amazon S3 and most others have).
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pykyro.backup import filename
from pykyro.backup.target.target import Readable, Upload
from pykyro.model.errors import DataDirInUse
from pykyro.model.types import BytesLike
from pykyro.storage.files.filesystem import Lock

PART_BYTES: Final = 16 << 20
"""Of the first thousand parts; each further thousand is larger by as much, for there may be 10,000 at most."""
READ_AHEAD_BYTES: Final = 256 << 10
LOCK_STALE_S: Final = 86_400.0
"""A lock older than this was left by a writer that died."""
_GONE: Final = ("NoSuchKey", "404", "NotFound")
_TAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class ObjectStoreTarget:
    """Objects under a prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        """Makes no request yet. Raises OSError when the settings for the store are missing or wrong."""
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        with _as_os_error(self.location):
            self._s3: Any = boto3.client("s3")

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def sizes(self) -> dict[str, int]:
        found = {}
        with _as_os_error(self.location):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}backup_"
            )
            for item in (item for page in pages for item in page.get("Contents", ())):
                name = item["Key"].removeprefix(self._prefix)
                if filename.archive_id(name) or filename.entry_id(name):
                    found[name] = int(item["Size"])
        return found

    def open(self, name: str) -> Readable:
        with _as_os_error(f"{self.location}/{name}"):
            head = self._s3.head_object(**self._key(name))
        return _Object(self._s3, self._key(name), f"{self.location}/{name}", int(head["ContentLength"]))

    def create(self, name: str) -> Upload:
        return _PartsUpload(self._s3, self._key(name), f"{self.location}/{name}")

    def put(self, name: str, data: bytes) -> None:
        with _as_os_error(f"{self.location}/{name}"):
            self._s3.put_object(**self._key(name), Body=data)

    def remove(self, name: str) -> None:
        with _as_os_error(f"{self.location}/{name}"):
            self._s3.delete_object(**self._key(name))

    def lock(self) -> Lock:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "time_s": int(time.time())}
        body = json.dumps(owner | {"token": uuid4().hex}).encode()
        place = f"{self.location}/{filename.LOCK}"
        for _ in range(2):
            try:
                with _as_os_error(place):
                    self._s3.put_object(**self._key(filename.LOCK), Body=body, IfNoneMatch="*")
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
            with _as_os_error(place):
                found = self._s3.get_object(**self._key(filename.LOCK))
                words = found["Body"].read(1000).decode("utf-8", "replace")
        except FileNotFoundError:
            return
        age_s = (datetime.datetime.now(datetime.UTC) - found["LastModified"]).total_seconds()
        if age_s < LOCK_STALE_S:
            raise DataDirInUse(
                f"another process is changing the backups: {words!r}, {age_s:.0f} s ago",
                path=place,
                owner_pid=0,
                hint="Try again when it is done. If that process has ended, remove this object",
            )
        self.remove(filename.LOCK)

    def _lock_is(self, body: bytes, place: str) -> bool:
        try:
            with _as_os_error(place):
                return bool(self._s3.get_object(**self._key(filename.LOCK))["Body"].read(1000) == body)
        except FileNotFoundError:
            return False

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}


class _Object:
    """An object read by ranges, the bytes around a small one kept for the next."""

    def __init__(self, s3: Any, key: dict[str, str], place: str, size_bytes: int) -> None:
        self._s3 = s3
        self._key = key
        self._place = place
        self._size_bytes = size_bytes
        self._kept_start, self._kept = 0, b""

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read(self, start: int, length: int) -> BytesLike:
        end = min(start + length, self._size_bytes)
        if start >= end:
            return b""
        if not self._kept_start <= start <= end <= self._kept_start + len(self._kept):
            last = min(max(end, start + READ_AHEAD_BYTES), self._size_bytes) - 1
            with _as_os_error(self._place):
                answer = self._s3.get_object(**self._key, Range=f"bytes={start}-{last}")
                self._kept_start, self._kept = start, answer["Body"].read()
        return memoryview(self._kept)[start - self._kept_start : end - self._kept_start]


class _PartsUpload:
    """A multipart upload; a short object goes in one call."""

    def __init__(self, s3: Any, key: dict[str, str], place: str) -> None:
        self._s3 = s3
        self._key = key
        self._place = place
        self._waiting = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._upload_id = ""

    def write(self, data: BytesLike) -> None:
        self._waiting += data
        while len(self._waiting) >= self._part_bytes:
            size = self._part_bytes
            part, self._waiting = self._waiting[:size], self._waiting[size:]
            self._send(bytes(part))

    def finish(self) -> None:
        with _as_os_error(self._place):
            if not self._parts:
                self._s3.put_object(**self._key, Body=bytes(self._waiting))
                return
        if self._waiting:
            self._send(bytes(self._waiting))
        with _as_os_error(self._place):
            self._s3.complete_multipart_upload(
                **self._key, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
            )

    def abandon(self) -> None:
        with contextlib.suppress(OSError), _as_os_error(self._place):
            if self._upload_id:
                self._s3.abort_multipart_upload(**self._key, UploadId=self._upload_id)

    @property
    def _part_bytes(self) -> int:
        return PART_BYTES * (1 + len(self._parts) // 1000)

    def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        with _as_os_error(self._place):
            if not self._upload_id:
                self._upload_id = self._s3.create_multipart_upload(**self._key)["UploadId"]
            answer = self._s3.upload_part(**self._key, UploadId=self._upload_id, PartNumber=number, Body=part)
        kept = {
            name: value for name, value in answer.items() if name == "ETag" or name.startswith("Checksum")
        }
        self._parts.append({"PartNumber": number} | kept)


class _ObjectLock:
    def __init__(self, target: ObjectStoreTarget) -> None:
        self._target = target

    def release(self) -> None:
        self._target.remove(filename.LOCK)


@contextlib.contextmanager
def _as_os_error(place: str) -> Iterator[None]:
    """Turns the errors of boto3 into those that callers of a Target expect."""
    try:
        yield
    except ClientError as error:
        code, text = error.response["Error"]["Code"], str(error)
        if code in _GONE:
            raise FileNotFoundError(errno.ENOENT, text, place) from error
        if code in _TAKEN:
            raise FileExistsError(errno.EEXIST, text, place) from error
        raise OSError(errno.EIO, text, place) from error
    except BotoCoreError as error:
        raise OSError(errno.EIO, str(error), place) from error
