"""Where the doors listen: at the one address they were told, the same way on both.

A name stands for its first address. 0.0.0.0 is every address of IPv4 and none of IPv6; :: is every address of both.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Final, NamedTuple

_BACKLOG: Final = 128
_EVERY_IPV4: Final = "0.0.0.0"  # noqa: S104  # what the operator asked for, by name
_EVERY: Final = "::"


class Address(NamedTuple):
    """One address of this machine and a port."""

    host: str
    port: int
    is_ipv6: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


def address_of(host: str, port: int) -> Address:
    """The address of `host`, a name or an address with or without brackets. Raises OSError."""
    flags = socket.AI_PASSIVE
    family, *_, found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=flags)[0]
    return Address(str(found[0]), int(found[1]), family is socket.AF_INET6)


def listen(address: Address) -> socket.socket:
    """A socket that listens there and nowhere else. Raises OSError, also when another program listens there."""
    listener = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.is_ipv6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != _EVERY))
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def free_for_grpc(address: Address) -> Iterator[None]:
    """Make sure that gRPC binds `address` itself. Raises OSError when it is taken.

    grpcio takes 0.0.0.0 to mean IPv6 as well, and only IPv4 when somebody else has the port of IPv6: so that is taken
    for as long as it binds. It also makes do with a part of :: when another part is taken.
    """
    listen(address).close()
    with contextlib.ExitStack() as held:
        if address.host == _EVERY_IPV4:
            # A machine without IPv6 has nothing to hold.
            with contextlib.suppress(OSError):
                held.enter_context(_listen_on_ipv6_alone(address.port))
        yield


def _listen_on_ipv6_alone(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((_EVERY, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener
