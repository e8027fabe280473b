"""Who is calling: the one place every RPC asks, before it looks at the request.

`Access` is what the service asks; `OpenAccess` is the answer of a server without auth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from kyrodb.types import EVERYTHING, Scope

CallMetadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Metadata of a call, keys in lower case; the values of `-bin` keys are bytes."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a call, and what that lets the call see and do."""

    tenant: int | None = None
    is_admin: bool = True

    def scope(self, namespace: str) -> Scope:
        """The documents a request of this caller that names `namespace` ("" = all) may see."""
        if self.tenant is None and not namespace:
            return EVERYTHING
        return Scope(self.tenant, namespace)


ANYBODY: Final = Caller()


class Access(Protocol):
    """Decides who a caller is."""

    reads_metadata: bool
    """False when `authenticate` needs neither metadata nor peer, so that they need not be fetched."""

    def authenticate(self, metadata: CallMetadata, peer: str) -> Caller:
        """The caller with this metadata. Raises Unauthenticated."""
        ...


class OpenAccess:
    """auth.enabled=false: everybody may do everything."""

    reads_metadata = False

    def authenticate(self, metadata: CallMetadata, peer: str) -> Caller:
        return ANYBODY
