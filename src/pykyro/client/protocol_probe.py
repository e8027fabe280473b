"""Finds out which protocol a port speaks, from one or two connections and the first bytes that come back."""

from __future__ import annotations

import contextlib
import enum
import socket
import ssl
import time
from typing import Final

from pykyro.client.target import GrpcTarget
from pykyro.client.tls import Tls, pem_of

_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How every HTTP/2 connection begins: RFC 9113, section 3.4."""
_HELLO_HTTP1: Final = b"OPTIONS * HTTP/1.1\r\nHost: kyrodb\r\nConnection: close\r\n\r\n"
_SETTINGS: Final = 4
_HANDSHAKE_OR_ALERT: Final = (21, 22)
_FIRST_BYTES: Final = 64


class Seen(enum.Enum):
    """The result of a probe."""

    HTTP2 = enum.auto()
    HTTP1 = enum.auto()
    TLS = enum.auto()
    """With HTTP/2 inside, or what is inside does not show."""
    HTTP1_TLS = enum.auto()
    WANTS_CERTIFICATE = enum.auto()
    """TLS, and the connection ended when no certificate, or not the right one, came."""
    OTHER = enum.auto()
    SILENT = enum.auto()


def probe_port(target: GrpcTarget, tls: Tls | None, time_s: float) -> Seen | None:
    """The protocol at the first address, tried with and without TLS; None when no program listens, or it is
    unknown."""
    until_s = time.monotonic() + time_s
    try:
        with _connected(target, until_s) as plain:
            # Half the time, for what speaks TLS may wait in silence for more.
            first = _answer(plain, until_s - time_s / 2)
    except TimeoutError:
        first = b""
    except OSError:
        return None
    if first[:1] and first[0] in _HANDSHAKE_OR_ALERT and first[1:2] == b"\x03":
        first = b""
    elif first.startswith(b"HTTP/1"):
        return Seen.HTTP1
    elif len(first) > 3 and first[3] == _SETTINGS:
        return Seen.HTTP2
    elif first:
        return _other(target, until_s)
    # Nothing, or an alert: how TLS takes what is none.
    return _with_tls(target, tls, until_s)


def _other(target: GrpcTarget, until_s: float) -> Seen | None:
    """A server of HTTP/1 need not answer a hello of HTTP/2 in its own words."""
    try:
        with _connected(target, until_s) as plain:
            return Seen.HTTP1 if _answer(plain, until_s, _HELLO_HTTP1).startswith(b"HTTP/1") else Seen.OTHER
    except OSError:
        return Seen.OTHER


def _with_tls(target: GrpcTarget, tls: Tls | None, until_s: float) -> Seen | None:
    try:
        with _connected(target, until_s) as plain:
            try:
                secure = _context(tls).wrap_socket(plain, server_hostname=_server_name(target, tls))
            except TimeoutError:
                return Seen.SILENT
            except (ssl.SSLError, OSError) as error:
                return Seen.WANTS_CERTIFICATE if "CERTIFICATE_REQUIRED" in str(error) else None
            with secure:
                return _inside(secure, until_s)
    except OSError:
        return None


def _inside(secure: ssl.SSLSocket, until_s: float) -> Seen:
    if secure.selected_alpn_protocol() == "http/1.1":
        return Seen.HTTP1_TLS
    try:
        first = _answer(secure, until_s)
    except TimeoutError:
        return Seen.TLS
    except OSError:
        first = b""
    if first.startswith(b"HTTP/1"):
        return Seen.HTTP1_TLS
    return Seen.TLS if first else Seen.WANTS_CERTIFICATE


def certificate_names(target: GrpcTarget, tls: Tls, time_s: float) -> tuple[str, ...]:
    """The names in the server's certificate, empty when they cannot be told; only of one that `tls` trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        ca = pem_of(tls.ca)
        if ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=ca.decode("ascii"))
        with (
            _connected(target, time.monotonic() + time_s) as plain,
            context.wrap_socket(plain, server_hostname=_server_name(target, tls)) as secure,
        ):
            certificate = secure.getpeercert() or {}
    except (OSError, ValueError):
        return ()
    names = certificate.get("subjectAltName", ())
    return tuple(str(entry[1]) for entry in names if isinstance(entry, tuple))


def _context(tls: Tls | None) -> ssl.SSLContext:
    # Whom to trust is not the question here, and nothing but the hello is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    if tls is not None and tls.cert is not None and not isinstance(tls.cert, bytes) and tls.key is not None:
        with contextlib.suppress(OSError, TypeError):
            context.load_cert_chain(tls.cert, None if isinstance(tls.key, bytes) else tls.key)
    return context


def _server_name(target: GrpcTarget, tls: Tls | None) -> str | None:
    host = target.addresses[0][0] if target.addresses else ""
    return (tls.server_name if tls is not None else "") or host or None


def _connected(target: GrpcTarget, until_s: float) -> socket.socket:
    """Raises OSError, also for a target whose place only gRPC knows."""
    left_s = max(0.01, until_s - time.monotonic())
    if target.addresses:
        return socket.create_connection(target.addresses[0], timeout=left_s)
    if not target.path:
        raise OSError(f"{target.text} contains no address")
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(left_s)
        connection.connect(target.path)
    except BaseException:
        connection.close()
        raise
    return connection


def _answer(connection: socket.socket, until_s: float, hello: bytes = _HELLO) -> bytes:
    """The first bytes that come back for a hello; empty when the connection ends. Raises TimeoutError."""
    connection.settimeout(max(0.01, until_s - time.monotonic()))
    try:
        connection.sendall(hello)
        return connection.recv(_FIRST_BYTES)
    except ConnectionError:
        return b""
