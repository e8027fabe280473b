"""Metadata as a tier keeps it: the client's entries and the reserved ones apart, both as wire bytes.

A response needs the first and never shows the second; a scope check needs only the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pykyro.model.metadata_wire import decode_metadata, encode_metadata
from pykyro.model.types import RESERVED_KEYS, Scope


@dataclass(frozen=True, slots=True)
class StoredMetadata:
    """`public` goes to clients as it is; `reserved` holds RESERVED_KEYS. Both in the form of metadata_wire."""

    public: bytes
    reserved: bytes

    @classmethod
    def split(cls, metadata: Mapping[str, str]) -> StoredMetadata:
        """The two kinds of entries apart. Without a reserved key `public` is all of `metadata` encoded."""
        public = {key: value for key, value in metadata.items() if key not in RESERVED_KEYS}
        reserved = {key: metadata[key] for key in RESERVED_KEYS if key in metadata}
        return cls(encode_metadata(public), encode_metadata(reserved))

    def whole(self) -> dict[str, str]:
        """Both together, as a filter sees them."""
        return {**decode_metadata(self.public), **decode_metadata(self.reserved)}

    def reserved_entries(self) -> dict[str, str]:
        return decode_metadata(self.reserved)

    def in_scope(self, scope: Scope) -> bool:
        if scope.tenant is None and not scope.namespace:
            return True
        return scope.admits(decode_metadata(self.reserved))
