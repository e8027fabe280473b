"""What requests ask beside their content: WriteOptions and ReadOptions. Everything here raises InvalidArgument."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from pykyro.model.conditions import Terms, checked_terms
from pykyro.model.errors import InvalidArgument
from pykyro.model.freshness import FRESHNESS_WAIT_S, Freshness, checked_freshness
from pykyro.model.metadata_wire import varint
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.transport.grpc.decode_filter import decode_filter

READ_OPTIONS_MARK: Final = varint(wire.Addressed.DESCRIPTOR.fields_by_name["read_options"].number << 3 | 2)
"""The tag of the field in every read: a search without these bytes has no such options."""


def insert_terms(options: pb.WriteOptions) -> Terms | None:
    """What an insert asks."""
    return checked_terms(
        options.if_absent,
        options.if_position if options.HasField("if_position") else None,
        decode_filter(options.if_filter) if options.HasField("if_filter") else None,
        options.idempotency_key,
    )


def change_terms(options: pb.WriteOptions) -> Terms | None:
    """What a change or a removal of a stored document asks."""
    if options.if_absent:
        raise InvalidArgument("if_absent is for inserts: what is absent cannot be changed", field="if_absent")
    return insert_terms(options)


def key_alone(options: pb.WriteOptions) -> Terms | None:
    """What a write of several documents asks: an idempotency key at most."""
    for name in ("if_absent", "if_position", "if_filter"):
        if options.if_absent if name == "if_absent" else options.HasField(name):
            raise InvalidArgument(
                f"{name} is for writes of one document; with several, each that is inserted may have its own",
                field=name,
            )
    return insert_terms(options)


def freshness_of(options: pb.ReadOptions) -> Freshness | None:
    """How fresh a read is to be; None when any state will do."""
    wait_s = options.max_wait_ms / 1000 if options.HasField("max_wait_ms") else FRESHNESS_WAIT_S
    return checked_freshness(options.min_position, wait_s)


def freshness_in(payload: bytes) -> Freshness | None:
    """How fresh the read in these bytes is to be; None when they cannot be read, which its decoder says."""
    try:
        message = wire.Addressed.FromString(payload)
    except DecodeError:
        return None
    return freshness_of(message.read_options) if message.HasField("read_options") else None
