"""How a client talks TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TypeAlias

Pem: TypeAlias = bytes | str | PathLike[str]
"""PEM itself as bytes, or the path of a file of it."""


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


def pem_of(pem: Pem | None) -> bytes | None:
    """The PEM itself. Raises OSError."""
    return pem if pem is None or isinstance(pem, bytes) else Path(pem).read_bytes()
