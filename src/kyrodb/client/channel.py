"""How a client connects: address, TLS, key, and the options both kinds of channel share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc

from kyrodb.descriptors import reserve_standard_descriptors
from kyrodb.errors import InvalidArgument
from kyrodb.proto.methods import METHODS
from kyrodb.version import __version__

Pem: TypeAlias = bytes | str | PathLike[str]
"""PEM itself as bytes, or the path of a file of it."""

DEFAULT_TARGET: Final = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Tls:
    """How to talk TLS. `Tls()` trusts the authorities gRPC trusts.

    `ca` are the authorities to trust instead; `cert` and `key` are the client's own certificate chain and private
    key, for a server that asks for them; `server_name` is the name the server's certificate must hold when that is
    not the one in the address.
    """

    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = field(default=None, repr=False)
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything a channel is opened with, checked."""

    target: str
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, str | int], ...]
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    timeout_s: float


def connection(target: str, api_key: str | None, tls: Tls | bool, timeout_s: float) -> Connection:
    """What these arguments of a client say. Raises InvalidArgument; OSError when a PEM file cannot be read."""
    if not isinstance(target, str) or ":" not in target:
        raise InvalidArgument(
            f"target must be host:port, such as {DEFAULT_TARGET}, got {target!r}", field="target"
        )
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not 0 < timeout_s < math.inf:
        raise InvalidArgument(f"timeout_s must be seconds above 0, got {timeout_s!r}", field="timeout_s")
    # gRPC aborts the program when a socket of its own is taken for a standard stream.
    reserve_standard_descriptors()
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"kyrodb-python/{__version__}"),
        # An answer is as large as the question allows: a thousand hits with their vectors pass gRPC's 4 MiB.
        ("grpc.max_receive_message_length", -1),
        # gRPC's own pauses grow to two minutes, and calls fail without a look at the server until one is over.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 250),
    ]
    credentials = None
    if tls is not False:
        wanted = Tls() if tls is True else tls
        credentials = _credentials(wanted)
        if wanted.server_name:
            options.append(("grpc.ssl_target_name_override", wanted.server_name))
    return Connection(target, credentials, tuple(options), _metadata(api_key), float(timeout_s))


def callables(channel: Any) -> dict[str, Callable[..., Any]]:
    """Every RPC by its name, bytes in and bytes out, over a channel of grpc or of grpc.aio."""
    kinds = {
        (False, False): channel.unary_unary,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    return {
        name: kinds[method.client_streaming, method.server_streaming](method.path)
        for name, method in METHODS.items()
    }


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if not isinstance(tls, Tls):
        raise InvalidArgument(f"tls must be a Tls, True or False, got {type(tls).__name__}", field="tls")
    if (tls.cert is None) != (tls.key is None):
        raise InvalidArgument("tls.cert and tls.key must be given together", field="tls")
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))


def _read(pem: Pem | None) -> bytes | None:
    return pem if pem is None or isinstance(pem, bytes) else Path(pem).read_bytes()


def _metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    if api_key is None:
        return ()
    # The key itself stays out of the message: messages end up in logs.
    if not isinstance(api_key, str) or not api_key or not (api_key.isascii() and api_key.isprintable()):
        raise InvalidArgument("api_key must be printable ASCII text, not empty", field="api_key")
    return (("x-api-key", api_key),)
