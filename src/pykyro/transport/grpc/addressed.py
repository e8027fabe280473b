"""Which collection a request names."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from pykyro.model.metadata_wire import varint
from pykyro.proto import kyrodb_wire_pb2 as wire

COLLECTION_MARK: Final = varint(wire.Addressed.DESCRIPTOR.fields_by_name["collection"].number << 3 | 2)
"""The tag of the field in every request that has it: bytes without it name no collection."""


def collection_of(payload: bytes) -> str:
    """The name of the collection that a request names, "" when it names none or cannot be read."""
    if COLLECTION_MARK not in payload:
        return ""
    try:
        return wire.Addressed.FromString(payload).collection
    except DecodeError:
        return ""
