"""A client that asks over HTTP/2 and reads nothing."""

from __future__ import annotations

import socket
import struct
from typing import Final, Self

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x8
_END_STREAM, _END_HEADERS = 0x1, 0x4
_WINDOW_MAX: Final = 2**31 - 1


class UnreadConnection:
    """A connection on which calls are made and no answer is taken, neither by HTTP/2 nor from the kernel."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", port))
        # The server may send as much as it likes, and the kernel takes a few kilobytes of it.
        self._send(_SETTINGS, 0, 0, struct.pack(">HI", 4, _WINDOW_MAX), first=_PREFACE)
        self._send(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW_MAX - 65_535))
        self._stream = 1

    def call(self, path: str, request: bytes) -> bool:
        """Make a call; False when the server has closed the connection."""
        fields = (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
        block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
        try:
            self._send(_HEADERS, _END_HEADERS, self._stream, block)
            self._send(_DATA, _END_STREAM, self._stream, struct.pack(">BI", 0, len(request)) + request)
        except OSError:
            return False
        self._stream += 2
        return True

    def _send(self, kind: int, flags: int, stream: int, payload: bytes, *, first: bytes = b"") -> None:
        length = struct.pack(">I", len(payload))[1:]
        self._socket.sendall(first + length + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

    def is_closed(self) -> bool:
        """Whether the server has ended the connection; what it sent before stays unread."""
        try:
            self._send(_WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))
        except OSError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _text(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text
