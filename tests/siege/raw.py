"""Connections over raw sockets that do what no client library does: never read, never end, refer a thousand times.

They block for at most a moment: a server that does not read from a hostile client any more is in its right.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

from tests.server.hostile import (
    END_HEADERS,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_headers,
    data_frames,
    frame,
    literal,
    message,
)

_SEND_S: Final = 2.0
_RECEIVE_BUFFER: Final = 4096
_FIRST_DYNAMIC: Final = 62
"""The newest entry of the dynamic table of HPACK, RFC 7541 section 2.3.3."""


class Raw:
    """One connection that is never read, until it is closed."""

    def __init__(self, port: int, key: str = "") -> None:
        """Raises OSError when the server takes no connection."""
        self._key = (("x-api-key", key),) if key else ()
        self._stream = 1
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.settimeout(_SEND_S)
            self._socket.connect(("127.0.0.1", port))
            self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def call(self, path: str, request: bytes, *, last: bool = True, claimed: int | None = None) -> bool:
        """Begin a call with one message; whether the server took it."""
        parts = [call_headers(self._stream, path, *self._key)]
        parts += data_frames(self._stream, message(request, claimed=claimed), last=last)
        self._stream += 2
        return self._send(b"".join(parts))

    def refer(self, path: str, value_bytes: int, times: int) -> bool:
        """Begin a call whose header names one long value that often, a byte each: RFC 7541 section 6.1."""
        whole = call_headers(self._stream, path, *self._key)[9:]
        if self._stream == 1:
            whole += b"\x40" + literal("x-long") + long_string(b"y" * value_bytes)
        whole += bytes((0x80 | _FIRST_DYNAMIC,)) * times
        head = frame(HEADERS, END_HEADERS, self._stream, whole)
        self._stream += 2
        return self._send(head)

    def _send(self, data: bytes) -> bool:
        with contextlib.suppress(OSError):
            self._socket.sendall(data)
            return True
        return False


def long_string(value: bytes) -> bytes:
    """A string of any length, RFC 7541 sections 5.1 and 5.2."""
    rest = len(value) - 127
    if rest < 0:
        return bytes((len(value),)) + value
    coded = bytearray((127,))
    while rest >= 128:
        coded.append(rest % 128 + 128)
        rest //= 128
    return bytes((*coded, rest)) + value


def silent(port: int) -> Raw | None:
    """A connection on which nothing follows, None when the server takes none."""
    try:
        return Raw(port)
    except OSError:
        return None
