"""Descriptors 0, 1 and 2 are the standard streams, also of a program that was started without them.

The system gives out the lowest free number. Where a stream is closed, the next file that is opened gets its number,
and then a line on standard error lands in the log of the database, or a socket is taken for standard input.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import sys
from typing import Final

_FIRST: Final = 3
"""The first descriptor that is nobody's standard stream."""


def reserve_standard_descriptors() -> None:
    """Put /dev/null where a standard stream is closed, so that nothing else comes to stand there. Costs a
    microsecond when there is nothing to do."""
    for number in range(_FIRST):
        try:
            fcntl.fcntl(number, fcntl.F_GETFD)
        except OSError:
            # Without /dev/null, in a bare chroot, `open_descriptor` alone has to do.
            with contextlib.suppress(OSError):
                opened = os.open(os.devnull, os.O_RDWR)
                if opened >= _FIRST:  # another thread was faster
                    os.close(opened)
                else:
                    os.set_inheritable(opened, True)


def restore_standard_streams(errors: str = "backslashreplace") -> None:
    """For a program of ours, before anything else: after this, sys.stdin, sys.stdout and sys.stderr can be used,
    whatever it was started with, and what their encoding cannot express goes to the codec's handler `errors`."""
    reserve_standard_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def open_descriptor(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """os.open, closed on exec, with a number that is no standard stream's. Raises OSError."""
    reserve_standard_descriptors()
    opened = os.open(path, flags | os.O_CLOEXEC, mode)
    if opened >= _FIRST:
        return opened
    # The program closed the stream this very moment.
    try:
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FIRST)
    finally:
        os.close(opened)
