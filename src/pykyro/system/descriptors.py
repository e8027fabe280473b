"""File descriptors of this process: standard streams, open files, and connections to its ports.

Descriptors 0, 1 and 2 must stay the standard streams, also in a program that was started without them. The system
gives out the lowest free number: where a stream is closed, the next file that is opened gets its number, and then a
line on standard error lands in the log of the database, or a socket is taken for standard input.

Standard error must never block. Libraries write to it from threads that serve calls (gRPC reports each TLS handshake
that failed), and a pipe that no process reads holds 64 KiB. Text beyond that is dropped; the log of this program goes
through a queue of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
import stat
import struct
import sys
from collections.abc import Container, Iterator
from typing import Final

_FIRST: Final = 3
"""The first descriptor that is not a standard stream."""


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


_STANDARD_ERROR: Final = 2
_SEND_US: Final = 10_000
"""A socket shared with other processes cannot be reopened; writes to it wait at most so long."""


def make_standard_error_nonblocking() -> None:
    """From now on a write to standard error that would have to wait fails instead."""
    with contextlib.suppress(OSError):
        mode = os.fstat(_STANDARD_ERROR).st_mode
        if stat.S_ISSOCK(mode):
            _limit_sending()
        elif stat.S_ISFIFO(mode) or os.isatty(_STANDARD_ERROR):
            # Reopened, because other processes share the open file, and with it the flag O_NONBLOCK.
            path = f"/proc/self/fd/{_STANDARD_ERROR}"
            own = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                os.dup2(own, _STANDARD_ERROR)
            finally:
                os.close(own)


def _limit_sending() -> None:
    with socket.socket(fileno=os.dup(_STANDARD_ERROR)) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, _SEND_US))


_DESCRIPTORS = "/proc/self/fd"


def open_files() -> int:
    """The number of open files of this process."""
    return len(os.listdir(_DESCRIPTORS)) - 1  # the listing itself is one


def connections_to(ports: Container[int]) -> Iterator[tuple[int, socket.socket]]:
    """The descriptor of each connection a client made to one of the ports, and a handle that is open until the next.

    A handle is a copy, so it stays the same connection even if the descriptor is closed and used anew meanwhile.
    A handle raises OSError when the client has just left; that ends only this turn of the loop.
    """
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):
            # Files of the database are not touched: to close a copy of a descriptor may mean something to a file.
            if not os.readlink(f"{_DESCRIPTORS}/{name}").startswith("socket:"):
                continue
            with handle_of(int(name)) as connection:
                if _is_of(connection, ports):
                    yield int(name), connection


def handle_of(descriptor: int) -> socket.socket:
    """A copy of a socket of this process. Raises OSError when it is something else."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _is_of(connection: socket.socket, ports: Container[int]) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] not in ports:
        return False
    connection.getpeername()  # which a socket that listens has none of
    return True
