"""Answers of a stream, handed on no faster than its client takes them.

h2corn keeps at most 2 MiB of answers for a connection, in the order in which they come: a stream that nobody reads
would fill that, and keep the other calls of its connection waiting. It says when a whole response has left, never how
far one is. But it reads files only as the client takes them, and lets go of them when it has: so once a stream has
enough under way, its next answer goes as a file in memory, and the stream goes on when the lock of that file is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Final
from weakref import WeakValueDictionary

from pykyro.transport.grpc.h2.call import Call, Send
from pykyro.transport.grpc.h2.wire import BODY, START

_UNDER_WAY_BYTES: Final = 32 << 10
"""Of one stream, without knowing whether any of it has left."""
_FILE_BYTES: Final = 64 << 10
"""What h2corn counts a smaller file as; it counts a larger one as more."""
_WAITING_OF_CONNECTION: Final = 16
"""Streams of one connection whose file h2corn keeps, which is half of what it keeps for a connection."""
_FILES_MAX: Final = 64
"""Of all streams; those beyond are not held back, which only their own connections feel."""
_LOOK_S: Final = 0.0005
_LOOK_S_MAX: Final = 0.05


class Pacer:
    """What the streams of a server share. Used on the event loop."""

    def __init__(self) -> None:
        self._files = 0
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def room_of(self, peer: str) -> asyncio.Semaphore:
        """Which streams of a connection may have a file under way; the streams keep it."""
        room = self._rooms.get(peer)
        if room is None:
            room = self._rooms[peer] = asyncio.Semaphore(_WAITING_OF_CONNECTION)
        return room

    @contextlib.contextmanager
    def file(self, content: bytes) -> Iterator[_LentFile | None]:
        """A file in memory; None when there are too many."""
        if self._files >= _FILES_MAX:
            yield None
            return
        try:
            file = _LentFile(content)
        except OSError:  # the process may open no more
            yield None
            return
        self._files += 1
        try:
            yield file
        finally:
            self._files -= 1
            file.close()


class _LentFile:
    """A file in memory that somebody else reads, and whether he has it still."""

    def __init__(self, content: bytes) -> None:
        """Raises OSError."""
        self._descriptor = os.memfd_create("answer", os.MFD_CLOEXEC)
        try:
            self.reader = open(f"/proc/self/fd/{self._descriptor}", "rb")  # noqa: SIM115  # its reader's to close
        except OSError:
            os.close(self._descriptor)
            raise
        # Whoever duplicates the descriptor of the reader has this lock as well, until he closes the last of them.
        fcntl.flock(self.reader, fcntl.LOCK_SH)
        with open(self._descriptor, "wb", closefd=False) as file:
            file.write(content)

    @property
    def is_held(self) -> bool:
        """Whether a duplicate of the reader is open."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self.reader.close()
        os.close(self._descriptor)


class PacedAnswers:
    """The answers of one stream."""

    def __init__(self, call: Call, send: Send, pacer: Pacer) -> None:
        self._call = call
        self._send = send
        self._pacer = pacer
        self._room = pacer.room_of(call.peer())
        self._under_way = 0

    async def write(self, message: bytes) -> None:
        """Send one answer; returns when the next may be made."""
        if not self._call.started:
            self._call.started = True
            await self._send(START)
        framed = b"\0" + len(message).to_bytes(4, "big") + message
        self._under_way += len(framed)
        if self._under_way <= _UNDER_WAY_BYTES:
            await self._send({"type": BODY, "body": framed, "more_body": True})
            return
        async with self._room:
            for at in range(0, len(framed), _FILE_BYTES):
                await self._write_and_wait(framed[at : at + _FILE_BYTES])
        self._under_way = 0

    async def _write_and_wait(self, part: bytes) -> None:
        with self._pacer.file(part) as file:
            if file is None:
                await self._send({"type": BODY, "body": part, "more_body": True})
                return
            with file.reader as reader:
                await self._send(
                    {
                        "type": "http.response.zerocopysend",
                        "file": reader,
                        "offset": 0,
                        "count": len(part),
                        "more_body": True,
                    }
                )
            pause_s = _LOOK_S
            while file.is_held:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LOOK_S_MAX)
