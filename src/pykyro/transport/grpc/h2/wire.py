"""How gRPC writes itself in the headers of HTTP/2: deadlines, metadata, the status of a call.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import grpc

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Event: TypeAlias = dict[str, Any]
"""What ASGI passes to and fro."""

CONTENT_TYPE: Final = b"application/grpc"
ACCEPTED_ENCODINGS: Final = (b"identity", b"deflate", b"gzip")
START: Final[Event] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", CONTENT_TYPE), (b"grpc-accept-encoding", b",".join(ACCEPTED_ENCODINGS))],
    "trailers": True,
}
BODY: Final = "http.response.body"
NO_MORE_BODY: Final[Event] = {"type": BODY, "body": b""}
OK: Final[Event] = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
PREFIX_BYTES: Final = 5
"""Before each message: whether it is compressed, and its length."""

_UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT_DIGITS_MAX: Final = 8
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {ord("%")}
_FIELD_BYTES: Final = 32
"""What a header counts for besides its characters, RFC 9113 section 6.5.2."""


def size_of(headers: Headers) -> int:
    """Bytes of these headers, as HTTP/2 counts them."""
    size = _FIELD_BYTES * len(headers)
    for name, value in headers:
        size += len(name) + len(value)
    return size


def timeout_s(text: bytes) -> float | None:
    """Seconds that a call may take, None when that is not what the text says."""
    digits, unit = text[:-1], _UNITS_S.get(text[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS_MAX:
        return None
    return int(digits) * unit


def metadata_of(headers: Headers) -> Metadata:
    """Metadata of a call, as grpcio hands it to handlers; a binary value that is none stays away."""
    found: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name.endswith(b"-bin"):
            decoded = _binary(value)
            if decoded is not None:
                found.append((name.decode("latin-1"), decoded))
        else:
            found.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(found)


def status_trailers(
    code: grpc.StatusCode, text: str, metadata: Iterable[tuple[str, str | bytes]] = ()
) -> Event:
    """The end of a call: its status, why, and more for programs to read."""
    headers = [(b"grpc-status", b"%d" % code.value[0])]
    if text:
        headers.append((b"grpc-message", escaped(text)))
    for name, value in metadata:
        if name.endswith("-bin"):
            raw = value if isinstance(value, bytes) else value.encode()
            headers.append((name.encode("ascii"), base64.b64encode(raw).rstrip(b"=")))
        else:
            text_value = value if isinstance(value, str) else value.decode("latin-1")
            headers.append((name.encode("ascii"), text_value.encode("latin-1")))
    return {"type": "http.response.trailers", "headers": headers}


def escaped(text: str) -> bytes:
    """A status message: what is not printable ASCII stands as %XX, each byte of its UTF-8."""
    raw = text.encode("utf-8", "replace")
    if raw.isascii() and text.isprintable() and b"%" not in raw:
        return raw
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in raw)


def _binary(value: bytes) -> bytes | None:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
