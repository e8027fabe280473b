"""Whether an address can be reached from other machines, which decides what a deployment must secure."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def is_loopback(host: str) -> bool:
    """Whether binding to `host` is reachable from this machine only.

    True for localhost, 127.0.0.0/8 and ::1, also in brackets, with a zone id or mapped into IPv6.
    A name other than localhost is not loopback, whatever it resolves to today.
    """
    name = host.strip().lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    name = name.partition("%")[0]
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
