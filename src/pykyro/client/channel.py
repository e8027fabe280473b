"""How a client connects: address, TLS, key, and the options both kinds of channel share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from pykyro.client.target import EXAMPLE, GrpcTarget, parse_target
from pykyro.client.tls import Tls, pem_of
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import ADDRESSES_MAX
from pykyro.proto.methods import METHODS
from pykyro.system.descriptors import reserve_standard_descriptors
from pykyro.version import __version__

DEFAULT_TARGET: Final = EXAMPLE
DEFAULT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything a channel is opened with, checked."""

    target: GrpcTarget
    tls: Tls | None
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, str | int], ...]
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    timeout_s: float


def connection(target: str, api_key: str | None, tls: Tls | bool, timeout_s: float) -> Connection:
    """The connection that these arguments of a client describe. Raises InvalidArgument; OSError when a PEM file
    cannot be read."""
    place = parse_target(target)
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
    if place.is_loopback:
        # gRPC would take the proxy of http_proxy and its like even to this machine.
        options.append(("grpc.enable_http_proxy", 0))
    credentials = wanted = None
    if tls is not False:
        wanted = Tls() if tls is True else tls
        credentials = _credentials(wanted)
        if wanted.server_name:
            options.append(("grpc.ssl_target_name_override", wanted.server_name))
    return Connection(place, wanted, credentials, tuple(options), _metadata(api_key), float(timeout_s))


def connections(
    target: str | Sequence[str], api_key: str | None, tls: Tls | bool, timeout_s: float
) -> list[Connection]:
    """The same for each address of `target`, which is one or several. Raises InvalidArgument; OSError."""
    if isinstance(target, str) or not isinstance(target, Sequence):
        return [connection(target, api_key, tls, timeout_s)]
    if not 1 <= len(target) <= ADDRESSES_MAX:
        raise InvalidArgument(
            f"target must have 1 to {ADDRESSES_MAX} addresses, got {len(target)}", field="target"
        )
    found = [connection(one, api_key, tls, timeout_s) for one in target]
    names = [one.target.text for one in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidArgument(f"target must name each server once, got {twice!r} again", field="target")
    return found


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
    return grpc.ssl_channel_credentials(pem_of(tls.ca), pem_of(tls.key), pem_of(tls.cert))


def _metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    if api_key is None:
        return ()
    # The key itself stays out of the message: messages end up in logs.
    if not isinstance(api_key, str) or not api_key or not (api_key.isascii() and api_key.isprintable()):
        raise InvalidArgument("api_key must be printable ASCII text, not empty", field="api_key")
    return (("x-api-key", api_key),)
