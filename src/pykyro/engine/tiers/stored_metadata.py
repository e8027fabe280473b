"""Metadata as a tier keeps it: the client's entries and the reserved ones apart, both as wire bytes.

A response needs the first and never shows the second; a scope check needs only the second. What a merge leaves of a
large document is kept as the changes and the metadata they are laid over, which may be mapped: merged_metadata.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pykyro.model.expiry import NEVER_US, instant_us_of
from pykyro.model.metadata_wire import decode_metadata, encode_metadata, expires_field
from pykyro.model.types import EXPIRES_AT_KEY, KEPT_APART, Scope


class TierMetadata(Protocol):
    """The metadata of a row."""

    @property
    def public(self) -> bytes:
        """The client's entries, as a response carries them, and when the document goes."""
        ...

    @property
    def reserved(self) -> bytes:
        """The entries under KEPT_APART."""
        ...

    def whole(self) -> dict[str, str]:
        """Both together, as a filter sees them."""
        ...

    def in_scope(self, scope: Scope) -> bool: ...


@dataclass(frozen=True, slots=True)
class StoredMetadata:
    """`public` goes to clients as it is, with the id if that is text; `reserved` holds KEPT_APART. Both in the form
    of metadata_wire."""

    public: bytes
    reserved: bytes

    @classmethod
    def split(cls, metadata: Mapping[str, str]) -> StoredMetadata:
        """The two kinds of entries apart. Without a key of KEPT_APART `public` is all of `metadata` encoded."""
        public = {key: value for key, value in metadata.items() if key not in KEPT_APART}
        reserved = {key: metadata[key] for key in KEPT_APART if key in metadata}
        wire = encode_metadata(public)
        if EXPIRES_AT_KEY in reserved and (instant_us := instant_us_of(reserved)) < NEVER_US:
            wire += expires_field(instant_us)
        return cls(wire, encode_metadata(reserved))

    def whole(self) -> dict[str, str]:
        """Both together, as a filter sees them."""
        return {**decode_metadata(self.public), **decode_metadata(self.reserved)}

    def in_scope(self, scope: Scope) -> bool:
        return in_scope(self.reserved, scope)


def in_scope(reserved: bytes, scope: Scope) -> bool:
    """Whether a document with these reserved entries is in the scope."""
    if scope.tenant is None and not scope.namespace:
        return True
    return scope.admits(decode_metadata(reserved))
