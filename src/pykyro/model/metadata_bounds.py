"""How much metadata a document may have, whether it comes with the document or by an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import (
    METADATA_BYTES_MAX,
    METADATA_ENTRIES_MAX,
    METADATA_KEY_BYTES_MAX,
    VALUE_ELEMENTS_MAX,
)
from pykyro.model.types import RESERVED_KEYS
from pykyro.model.values import count_parts

UTF8_BYTES_MAX: Final = 4
"""Of a letter."""

_WAY_OUT: Final = "; write fewer or shorter entries, or replace the metadata instead of merging into it"


def check_metadata_entries(metadata: Mapping[str, str]) -> None:
    """Refuse more entries than a document may have."""
    if len(metadata) > METADATA_ENTRIES_MAX:
        raise InvalidArgument(
            f"metadata has {len(metadata)} entries; the maximum is {METADATA_ENTRIES_MAX}", field="metadata"
        )


def check_metadata_size(metadata: Mapping[str, str]) -> None:
    """Refuse a key, or all entries together, that are too long."""
    size = 0
    for key, value in metadata.items():
        key_bytes = len(key.encode())
        if key_bytes > METADATA_KEY_BYTES_MAX:
            raise InvalidArgument(
                f"metadata key {key[:40]!r}… has {key_bytes} bytes; the maximum is {METADATA_KEY_BYTES_MAX}",
                field="metadata",
            )
        size += key_bytes + len(value.encode())
    if size > METADATA_BYTES_MAX:
        raise InvalidArgument(
            f"metadata has {size} bytes; the maximum is {METADATA_BYTES_MAX}", field="metadata"
        )


def check_updated(stored: Mapping[str, str], updated: Mapping[str, str], wire_bytes: int) -> None:
    """Refuse an update of `stored` that leaves a document with too much metadata, reserved entries not counted.

    `wire_bytes` is known to be at least the size of `updated`. A document that already has too much, because it was
    written when more was allowed, may keep as much as it has: so it can be made smaller step by step.
    """
    _check_parts(stored, updated)
    if wire_bytes <= METADATA_BYTES_MAX and len(updated) <= METADATA_ENTRIES_MAX:
        longest_key = min(wire_bytes, UTF8_BYTES_MAX * max(map(len, updated), default=0))
        if longest_key <= METADATA_KEY_BYTES_MAX:
            return
    entries, size, longest = _measure(updated)
    entries_before, size_before, longest_before = _measure(stored)
    if entries > max(METADATA_ENTRIES_MAX, entries_before):
        raise InvalidArgument(
            f"metadata would have {entries} entries, {entries_before} before the update; the maximum is "
            f"{METADATA_ENTRIES_MAX}{_WAY_OUT}",
            field="metadata",
        )
    if longest > max(METADATA_KEY_BYTES_MAX, longest_before):
        raise InvalidArgument(
            f"metadata would have a key of {longest} bytes; the maximum is {METADATA_KEY_BYTES_MAX}",
            field="metadata",
        )
    if size > max(METADATA_BYTES_MAX, size_before):
        raise InvalidArgument(
            f"metadata would have {size} bytes, {size_before} before the update; the maximum is "
            f"{METADATA_BYTES_MAX}{_WAY_OUT}",
            field="metadata",
        )


def _check_parts(stored: Mapping[str, str], updated: Mapping[str, str]) -> None:
    parts = count_parts(updated)
    if parts > VALUE_ELEMENTS_MAX:
        raise InvalidArgument(
            f"metadata would have {parts} elements of lists and entries of dicts, {count_parts(stored)} before the "
            f"update; the maximum is {VALUE_ELEMENTS_MAX}{_WAY_OUT}",
            field="metadata",
        )


def _measure(metadata: Mapping[str, str]) -> tuple[int, int, int]:
    """Entries, bytes of keys and values together, bytes of the longest key; without reserved entries."""
    entries = size = longest = 0
    for key, value in metadata.items():
        if key not in RESERVED_KEYS:
            key_bytes = len(key.encode())
            entries += 1
            size += key_bytes + len(value.encode())
            longest = max(longest, key_bytes)
    return entries, size, longest
