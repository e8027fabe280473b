"""What merges leave of the metadata of a large document: the changes, and what they are laid over.

Rows of one document share what they have in common, so that a merge of a few bytes adds a few bytes. The changes are
in levels, each larger than the next, as in a log-structured merge tree: a new one takes in those that are no larger,
so a row has few of them, and n changes are copied about log n times. Once they are as large as what they are laid
over, everything is put together anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pykyro.engine.tiers.stored_metadata import StoredMetadata, TierMetadata, in_scope
from pykyro.model.metadata_wire import decode_metadata, encode_metadata
from pykyro.model.types import RESERVED_KEYS, Scope

_SMALL_BYTES: Final = 4096
"""Metadata up to this size is put together at once: it would cost a reader more to do so each time."""
_LEVEL_BYTES: Final = 200
"""Of a row with changes beside their bytes."""


@dataclass(frozen=True, slots=True)
class MappedMetadata:
    """That of a row of a segment, read from the mapped file each time. It keeps the file mapped, and only that."""

    mapped: memoryview
    reserved: bytes

    @property
    def public(self) -> bytes:
        return self.mapped.tobytes()

    def whole(self) -> dict[str, str]:
        return {**decode_metadata(self.public), **decode_metadata(self.reserved)}

    def in_scope(self, scope: Scope) -> bool:
        return in_scope(self.reserved, scope)


@dataclass(frozen=True, slots=True)
class MergedMetadata:
    """`base` with `levels` of changes in wire form laid over it, the last on top. No change is of a reserved key."""

    base: StoredMetadata | MappedMetadata
    levels: tuple[bytes, ...]

    @property
    def public(self) -> bytes:
        return encode_metadata(decode_metadata(self.base.public) | self.changes())

    @property
    def reserved(self) -> bytes:
        return self.base.reserved

    def changes(self) -> dict[str, str]:
        """All of them together."""
        return decode_metadata(b"".join(self.levels))

    def whole(self) -> dict[str, str]:
        return self.base.whole() | self.changes()

    def in_scope(self, scope: Scope) -> bool:
        return in_scope(self.base.reserved, scope)


def merged(before: TierMetadata, changes: Mapping[str, str], wire: bytes) -> StoredMetadata | MergedMetadata:
    """`before` with `changes`, in wire form `wire`, laid over it."""
    levels: tuple[bytes, ...] = ()
    base = before
    if isinstance(before, MergedMetadata):
        base, levels = before.base, before.levels
    if isinstance(base, (StoredMetadata, MappedMetadata)) and RESERVED_KEYS.isdisjoint(changes):
        while levels and len(levels[-1]) <= len(wire):
            wire = encode_metadata(decode_metadata(levels[-1] + wire))
            levels = levels[:-1]
        levels += (wire,) if wire else ()
        if sum(map(len, levels)) < base_bytes(base) > _SMALL_BYTES:
            return MergedMetadata(base, levels)
    return StoredMetadata.split(before.whole() | dict(changes))


def base_bytes(base: StoredMetadata | MappedMetadata) -> int:
    """How long the public entries are in wire form."""
    return len(base.public) if isinstance(base, StoredMetadata) else len(base.mapped)


def added_bytes(stored: StoredMetadata | MergedMetadata) -> int:
    """What the last merge added to memory: of changes the level that it made."""
    if isinstance(stored, StoredMetadata):
        return len(stored.public) + len(stored.reserved)
    return _LEVEL_BYTES + (len(stored.levels[-1]) if stored.levels else 0)


def held_bytes(stored: TierMetadata) -> int:
    """Memory that it takes, if no other row shares it; what is mapped does not count."""
    if isinstance(stored, MergedMetadata) and isinstance(stored.base, MappedMetadata):
        return _LEVEL_BYTES + sum(map(len, stored.levels)) + len(stored.reserved)
    return _LEVEL_BYTES + size_of(stored)


def size_of(stored: TierMetadata) -> int:
    """About how long the entries are when they are put together."""
    if isinstance(stored, MergedMetadata):
        return base_bytes(stored.base) + sum(map(len, stored.levels)) + len(stored.base.reserved)
    return len(stored.public) + len(stored.reserved)
