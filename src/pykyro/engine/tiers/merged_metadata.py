"""What merges leave of the metadata of a large document: the changes, and what they are laid over.

Rows of one document share what they have in common, so that a merge of a few bytes adds a few bytes. The changes are
in levels, each larger than the next, as in a log-structured merge tree: a new one takes in those that are no larger,
so a row has few of them, and n changes are copied about log n times. Once they are as large as what they are laid
over, everything is put together anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pykyro.engine.tiers.stored_metadata import StoredMetadata, TierMetadata, in_scope
from pykyro.model import metadata_wire
from pykyro.model.metadata_wire import decode_metadata, encode_metadata, expires_field, expires_in
from pykyro.model.types import RESERVED_KEYS, Scope

_SMALL_BYTES: Final = 4096
"""Metadata up to this size is put together at once: it would cost a reader more to do so each time."""
_LEVELS_BYTES: Final = 60
"""Of the objects of a row with changes, beyond those of a row without."""
_MAPPED_BYTES: Final = 260
"""Of the objects that say where in the file a row is. All rows that are laid over it share them."""


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
        base = self.base.public
        wire = encode_metadata(_laid_over_each_other((base, *self.levels)))
        instant_us = expires_in(base)
        return wire + expires_field(instant_us) if instant_us else wire

    @property
    def reserved(self) -> bytes:
        return self.base.reserved

    def whole(self) -> dict[str, str]:
        return _laid_over_each_other((self.base.public, *self.levels, self.base.reserved))

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
            wire = encode_metadata(_laid_over_each_other((levels[-1], wire)))
            levels = levels[:-1]
        levels += (wire,) if wire else ()
        if sum(map(len, levels)) < _base_bytes(base) > _SMALL_BYTES:
            return MergedMetadata(base, levels)
    return StoredMetadata.split({**before.whole(), **changes})


def added_bytes(before: TierMetadata, stored: StoredMetadata | MergedMetadata) -> int:
    """What the merge that made `stored` of `before` added to memory: of changes the level that it made."""
    if isinstance(stored, StoredMetadata):
        return len(stored.public) + len(stored.reserved)
    own = _LEVELS_BYTES + (len(stored.levels[-1]) if stored.levels else 0)
    return own + (_MAPPED_BYTES + len(stored.reserved) if isinstance(before, MappedMetadata) else 0)


def held_bytes(stored: TierMetadata) -> int:
    """Memory that it takes, if no other row shares it; what is mapped does not count."""
    if not isinstance(stored, MergedMetadata):
        return whole_bytes(stored)
    mapped = isinstance(stored.base, MappedMetadata)
    levels = _LEVELS_BYTES + sum(map(len, stored.levels)) + len(stored.reserved)
    return levels + (_MAPPED_BYTES if mapped else _base_bytes(stored.base))


def public_bytes_max(stored: TierMetadata) -> int:
    """What its public entries have at most, without putting them together or reading what is mapped."""
    if not isinstance(stored, MergedMetadata):
        return len(stored.public)
    return _base_bytes(stored.base) + sum(map(len, stored.levels))


def whole_bytes(stored: TierMetadata) -> int:
    """What all entries have at most, found in the same way."""
    return public_bytes_max(stored) + len(stored.reserved)


def has_types(stored: TierMetadata) -> bool:
    """Whether there may be values that are not text."""
    if isinstance(stored, MergedMetadata):
        return any(map(metadata_wire.has_types, (stored.base.public, *stored.levels)))
    return metadata_wire.has_types(stored.public)


def _base_bytes(base: StoredMetadata | MappedMetadata) -> int:
    return len(base.public) if isinstance(base, StoredMetadata) else len(base.mapped)


def _laid_over_each_other(wires: Iterable[bytes]) -> dict[str, str]:
    """The entries of all of them; of those with one key the last."""
    found: dict[str, str] = {}
    for wire in wires:
        found |= decode_metadata(wire)
    return found
