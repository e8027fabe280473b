"""Metadata as a tier keeps it: the client's entries and the reserved ones apart, both as wire bytes.

A response needs the first and never shows the second; a scope check needs only the second. What a merge leaves of a
large document is kept as the changes and the metadata they are laid over, which may be mapped: merged_metadata.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pykyro.model.metadata_wire import decode_metadata, encode_metadata
from pykyro.model.types import SCOPE_KEYS, Scope


class TierMetadata(Protocol):
    """The metadata of a row."""

    @property
    def public(self) -> bytes:
        """The client's entries, as a response carries them."""
        ...

    @property
    def reserved(self) -> bytes:
        """The entries under SCOPE_KEYS."""
        ...

    def whole(self) -> dict[str, str]:
        """Both together, as a filter sees them."""
        ...

    def in_scope(self, scope: Scope) -> bool: ...


@dataclass(frozen=True, slots=True)
class StoredMetadata:
    """`public` goes to clients as it is, with the id if that is text; `reserved` holds SCOPE_KEYS. Both in the form
    of metadata_wire."""

    public: bytes
    reserved: bytes

    @classmethod
    def split(cls, metadata: Mapping[str, str]) -> StoredMetadata:
        """The two kinds of entries apart. Without a key of SCOPE_KEYS `public` is all of `metadata` encoded."""
        public = {key: value for key, value in metadata.items() if key not in SCOPE_KEYS}
        reserved = {key: metadata[key] for key in SCOPE_KEYS if key in metadata}
        return cls(encode_metadata(public), encode_metadata(reserved))

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
