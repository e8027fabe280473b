"""The address in a target, in the forms gRPC takes: host:port, dns:///host:port, ipv4:…, ipv6:[…], unix:path.

https://github.com/grpc/grpc/blob/master/doc/naming.md
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import PORT_MAX

EXAMPLE: Final = "127.0.0.1:50051"
PORT_DEFAULT: Final = 443
"""gRPC's own, for a target that names none."""
_LOCAL_SCHEMES: Final = ("unix", "unix-abstract", "vsock")
_WEB_SCHEMES: Final = ("http", "https", "grpc", "grpcs")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.DOTALL)
_ADDRESS: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]+))?|([0-9A-Fa-f:.%]*:[^\]]*)")
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
"""In the order in which gRPC looks."""
_EXCEPTIONS: Final = ("no_grpc_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class GrpcTarget:
    """`text` as it was given; `addresses` as (host, port), `path` of a socket in the file system. Either may be
    empty when gRPC alone knows what a scheme means."""

    text: str
    addresses: tuple[tuple[str, int], ...] = ()
    path: str = ""
    local: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether it can be nothing but a server on this machine."""
        hosts = [host for host, _ in self.addresses]
        return self.local or (bool(hosts) and all(map(_on_this_machine, hosts)))

    @property
    def is_name(self) -> bool:
        """Whether it names a host, which may have several addresses."""
        return any(not _is_address(host) for host, _ in self.addresses)


def parse_target(text: object) -> GrpcTarget:
    """Raises InvalidArgument for a text that cannot be a target."""
    if not isinstance(text, str) or ":" not in text:
        raise InvalidArgument(f"target must be host:port, such as {EXAMPLE}, got {text!r}", field="target")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1], match[2]) if match else ("", text)
    if scheme in _WEB_SCHEMES and rest.startswith("//"):
        host = rest.removeprefix("//").partition("/")[0]
        raise InvalidArgument(
            f"target must be host:port without {scheme}://, got {text!r}: write {host!r}, and tls=True for TLS",
            field="target",
        )
    if scheme in _LOCAL_SCHEMES:
        path = rest.removeprefix("//") if scheme == "unix" else ""
        return GrpcTarget(text, path=path, local=True)
    if scheme in ("ipv4", "ipv6"):
        return GrpcTarget(text, _addresses(_path(rest).split(",")))
    if scheme in ("dns", "passthrough"):
        return GrpcTarget(text, _addresses([_path(rest)]))
    if match and rest.startswith("/"):
        # A scheme that only gRPC knows.
        return GrpcTarget(text)
    addresses = _addresses([text])
    if not addresses or not addresses[0][0]:
        raise InvalidArgument(f"target must be host:port, such as {EXAMPLE}, got {text!r}", field="target")
    if not 1 <= addresses[0][1] <= PORT_MAX:
        raise InvalidArgument(
            f"target must have a port from 1 to {PORT_MAX}, got {addresses[0][1]} in {text!r}", field="target"
        )
    return GrpcTarget(text, addresses)


def proxy_of(target: GrpcTarget) -> str:
    """The variable of the environment whose proxy gRPC takes to this target, "" when it goes there directly."""
    if target.is_loopback or not target.addresses:
        return ""
    excepted = next((os.environ[name] for name in _EXCEPTIONS if os.environ.get(name)), "")
    host = target.addresses[0][0]
    if any(host.endswith(entry.strip()) for entry in excepted.split(",") if entry.strip()):
        return ""
    return next((name for name in _PROXIES if os.environ.get(name)), "")


def _path(rest: str) -> str:
    """What follows a scheme, without the authority that may stand before it."""
    if not rest.startswith("//"):
        return rest
    authority, _, path = rest[2:].partition("/")
    return path if authority else rest[3:]


def _addresses(texts: list[str]) -> tuple[tuple[str, int], ...]:
    found = []
    for text in texts:
        match = _ADDRESS.fullmatch(text)
        if match is None:
            return ()
        host = match[1] or match[2] or match[4] or ""
        found.append((host, int(match[3] or PORT_DEFAULT)))
    return tuple(found)


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _on_this_machine(host: str) -> bool:
    """Whether this is a name or an address of this machine alone, whatever else resolves to it today."""
    name = host.rstrip(".").partition("%")[0].lower()
    # Only this machine answers to these names (RFC 6761).
    if name in ("localhost", "ip6-localhost") or name.endswith(".localhost"):
        return True
    # A server bound to every address is reached at this one.
    with contextlib.suppress(OSError):
        return socket.inet_aton(name)[0] in (0, 127)
    try:
        address = IPv6Address(name)
    except ValueError:
        return False
    return (address.ipv4_mapped or address).is_loopback or address.is_unspecified
