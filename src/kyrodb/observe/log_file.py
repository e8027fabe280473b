"""A log file that begins anew when it is full; the file before it becomes FILE.1, that one FILE.2, and so on.

logging.handlers.RotatingFileHandler never rotates when only one file may stay, and looks for as many old files
as may stay, however many that are.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path


class LogFile(logging.Handler):
    """Appends lines of UTF-8. `bytes_max` None never rotates; `files_max` counts the file being written."""

    def __init__(self, path: Path, *, bytes_max: int | None, files_max: int) -> None:
        """Opens the file. Raises OSError."""
        super().__init__()
        self._path = os.path.abspath(path)
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
        self._size = self._file.tell()
        self._cut_line_end = b""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; called under the handler's lock."""
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            if self._bytes_max is not None and self._size and self._size + len(line) > self._bytes_max:
                self._begin_anew()
            self._append(line)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _append(self, line: bytes) -> None:
        """A disk that fills up takes a part of a line; what comes next must not look like the rest of it."""
        written = self._file.write(self._cut_line_end + line) or 0
        self._size += written
        self._cut_line_end = b"" if written == len(self._cut_line_end + line) else b"\n"
        if self._cut_line_end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin_anew(self) -> None:
        self._size = 0
        # A file that outgrows its bound is better than lines that are lost; the next try is a whole file later.
        with contextlib.suppress(OSError):
            self._move_aside()
            # Open before close, so that there always is a file that can be written.
            before, self._file = self._file, open(self._path, "ab", buffering=0)  # noqa: SIM115
            before.close()

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
