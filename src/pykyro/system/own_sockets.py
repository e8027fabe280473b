"""The open files of this process, and which of them are connections to its ports, whoever accepted them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Container, Iterator

_DESCRIPTORS = "/proc/self/fd"


def open_files() -> int:
    """How many there are."""
    return len(os.listdir(_DESCRIPTORS)) - 1  # the listing itself is one


def connections_to(ports: Container[int]) -> Iterator[tuple[int, socket.socket]]:
    """The descriptor of each connection a client made to one of the ports, and a handle that is open until the next.

    A handle is a copy, so it stays the same connection even if the descriptor is closed and used anew meanwhile.
    Whoever uses one meets OSError when the client has just left, which ends nothing but that turn.
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
