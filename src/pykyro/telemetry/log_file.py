"""Where log lines end up: standard output, or a file that begins anew when it is full; the file before it becomes
FILE.1, that one FILE.2, and so on.

logging.handlers.RotatingFileHandler never rotates when only one file may stay, and looks for as many old files
as may stay, however many that are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from pykyro.system.regular_files import open_regular

_STREAMS: Final = {Path("/dev/stdout"): 1, Path("/dev/stderr"): 2}
_NOWHERE: Final = Path("/dev/null")


class Destination(Protocol):
    """Takes whole lines of UTF-8 with their ends. Used by one thread at a time, which may have to wait in `write`."""

    fault: str
    """Why lines could not be written the last time, "" when they could."""

    def write(self, lines: Sequence[bytes]) -> int:
        """How many of them were not written whole."""
        ...

    def close(self) -> None: ...


def opened(path: Path, *, bytes_max: int | None, files_max: int) -> Destination:
    """What logging.file names: a file, or one of the system's names for a stream. Raises OSError."""
    if path in _STREAMS:
        return Stream(_STREAMS[path])
    if path == _NOWHERE:
        return Stream(os.open(_NOWHERE, os.O_WRONLY | os.O_CLOEXEC), closes=True)
    return LogFile(path, bytes_max=bytes_max, files_max=files_max)


class Stream:
    """A descriptor that is open already, such as standard output."""

    def __init__(self, descriptor: int, *, closes: bool = False) -> None:
        self.fault = ""
        self._descriptor = descriptor
        self._closes = closes

    def __eq__(self, other: object) -> bool:
        """Whether lines go to the same place either way."""
        same = isinstance(other, Stream) and self._descriptor == other._descriptor
        return same and not self._closes

    __hash__ = None  # type: ignore[assignment]

    def write(self, lines: Sequence[bytes]) -> int:
        rest = memoryview(b"".join(lines))
        try:
            while rest:
                rest = rest[self._write(rest) :]
        except OSError as error:
            self.fault = error.strerror or str(error)
            return max(1, bytes(rest).count(b"\n"))
        self.fault = ""
        return 0

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # Whoever started the process made it so.
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLOUT)
            waiting.poll()
            return 0

    def close(self) -> None:
        if self._closes:
            os.close(self._descriptor)


class LogFile:
    """Appends to a regular file. `bytes_max` None never rotates; `files_max` counts the file being written."""

    def __init__(self, path: Path, *, bytes_max: int | None, files_max: int) -> None:
        """Opens the file. Raises OSError."""
        self.fault = ""
        self._path = os.path.abspath(path)
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._descriptor = _append_to(self._path)
        self._size = os.fstat(self._descriptor).st_size
        self._ends_in_a_line = False

    def write(self, lines: Sequence[bytes]) -> int:
        lost, start, size = 0, 0, self._size
        for at, line in enumerate(lines):
            if self._bytes_max is not None and size and size + len(line) > self._bytes_max:
                lost += self._append(lines[start:at])
                self._begin_anew()
                start, size = at, self._size
            size += len(line)
        return lost + self._append(lines[start:])

    def close(self) -> None:
        os.close(self._descriptor)

    def _append(self, lines: Sequence[bytes]) -> int:
        """A disk that fills up takes a part of a line; what comes next must not look like the rest of it."""
        data = b"\n" * self._ends_in_a_line + b"".join(lines)
        try:
            written = os.write(self._descriptor, data) if lines else 0
        except OSError as error:
            self.fault = error.strerror or str(error)
            return len(lines)
        self._size += written
        if written == len(data):
            self.fault = "" if lines else self.fault
            self._ends_in_a_line = False
            return 0
        self.fault = os.strerror(errno.ENOSPC)
        whole = data[:written].count(b"\n") - self._ends_in_a_line
        self._ends_in_a_line = not data[:written].endswith(b"\n")
        return len(lines) - whole

    def _begin_anew(self) -> None:
        self._size = 0
        # A file that outgrows its bound is better than lines that are lost; the next try is a whole file later.
        with contextlib.suppress(OSError):
            self._move_aside()
            # Open before close, so that there always is a file that can be written.
            before, self._descriptor = self._descriptor, _append_to(self._path)
            os.close(before)
            self._ends_in_a_line = False

    def _move_aside(self) -> None:
        if self._files_max == 1:
            os.truncate(self._path, 0)
            return
        numbers = 0
        while numbers < self._files_max - 1 and os.path.exists(f"{self._path}.{numbers + 1}"):
            numbers += 1
        for number in range(min(numbers, self._files_max - 2), 0, -1):
            os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.replace(self._path, f"{self._path}.1")


def _append_to(path: str) -> int:
    return open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
