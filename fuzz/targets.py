"""Every decoder as a function of bytes: it may refuse them with the errors it promises, and must do nothing else.

Where a checksum would hide what is behind it, the target also dresses its input: it puts the right checksum in front
of wrong content, as somebody could who writes into the data directory.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from pykyro.backup.archive.format import decode_header
from pykyro.backup.archive.record import decode_record, seal_json
from pykyro.config import Overrides, load_settings
from pykyro.model.arguments import Schema
from pykyro.model.errors import ConfigError, DataDamaged, DataDirMismatch, InvalidArgument
from pykyro.model.filter import Filter, check_filter, matches
from pykyro.model.filter_dict import parse_filter
from pykyro.model.metadata_wire import decode_metadata
from pykyro.model.number import parse_number
from pykyro.model.types import Metric
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.storage.files.checksum import digest
from pykyro.storage.manifest import decode_manifest
from pykyro.storage.segment.section_file import _END, _MAGIC, _TRAILER, FileFacts, read_section_file
from pykyro.storage.wal.format import SEGMENT_HEADER, SegmentHeader, Whitening
from pykyro.storage.wal.reader import read_seal, read_segment
from pykyro.storage.wal.records import decode_records
from pykyro.storage.wal.writer import encode_frame
from pykyro.tenancy.key_file import parse_key_file
from pykyro.tenancy.usage_file import _MAGIC as _USAGE_MAGIC
from pykyro.tenancy.usage_file import decode_counts
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.decode_filter import decode_filter
from pykyro.transport.grpc.search_codec import GrpcSearchCodec, wants_inline_errors
from pykyro.transport.grpc.writes import decode_insert, insert_fault

_PATH = Path("/fuzz/file")
_HEADER = SegmentHeader(base_lsn=1, previous=0, created_us=1, salt=bytes(range(16)))
_WHITENING = Whitening(_HEADER.salt)
_SCHEMA = Schema(4, Metric.COSINE)
_CALLERS = (Caller(), Caller(tenant=3))
_SCRATCH = Path(tempfile.mkdtemp(prefix="kyrodb-fuzz-"))


def wal(data: bytes) -> None:
    """A log segment as it stands, and one whose frames have right checksums."""
    _segment(data)
    _segment(_dressed_segment(data))
    read_seal(memoryview(data), len(data))


def _segment(data: bytes) -> None:
    try:
        contents = read_segment(data, _PATH)
    except DataDamaged:
        return
    for frame in contents.operations:
        _refusing(_decode_records, frame.content, ValueError)


def _decode_records(content: bytes) -> object:
    return decode_records(content, tenanted=True)


def _dressed_segment(data: bytes) -> bytes:
    """Frames described by the input: a byte each for kind and flag, position, time, length of the content."""
    clear, previous, lsn, at = b"", 0, 0, 0
    while at + 4 <= len(data) and lsn < 50:
        kind, step, time, length = data[at : at + 4]
        content, at = data[at + 4 : at + 4 + length], at + 4 + length
        lsn += 1 if step < 240 else step - 240
        frame, previous = encode_frame(
            _HEADER.seed, lsn, lsn + time, previous, kind & 0x7F, content, synced=kind > 127
        )
        clear += frame
    white = _WHITENING.apply(clear, SEGMENT_HEADER.size).tobytes()
    if data and data[-1] % 4 == 0:  # cut, or with a sector that never arrived
        white = white[: -data[-1]] if data[-1] % 8 else white[:448] + bytes(512) + white[960:]
    return _HEADER.encode() + white


def section_footer(data: bytes) -> None:
    """A section file with this footer, vouched for by the right digest."""
    body = _MAGIC + bytes(range(256)) * 2
    tail = data + _TRAILER.pack(len(body), len(data), _END)
    try:
        file = read_section_file(memoryview(body + tail), _PATH, FileFacts(len(body + tail), digest(tail)))
        file.verify()
        for name in file.section_names:
            file.section(name)
    except DataDamaged:
        pass


def manifest(data: bytes) -> None:
    _refusing(lambda raw: decode_manifest(raw, _PATH), data, DataDamaged, DataDirMismatch)
    dressed = b"KYRODB-MANIFEST 1 " + digest(data).encode() + b"\n" + data
    _refusing(lambda raw: decode_manifest(raw, _PATH), dressed, DataDamaged, DataDirMismatch)


def records(data: bytes) -> None:
    """Records of the log, metadata in wire form, counts of usage, records and headers of a backup."""
    for decoder in (_decode_records, decode_metadata, decode_counts, decode_record, decode_header):
        _refusing(decoder, data, ValueError)
    _refusing(decode_record, seal_json(data), ValueError)
    _refusing(decode_counts, _USAGE_MAGIC + digest(data).encode() + b"\n" + data, ValueError)


def requests(data: bytes) -> None:
    """Every request of the wire contract; the first byte chooses the caller."""
    caller, payload = _CALLERS[data[0] % 2 if data else 0], data[1:]
    try:
        decode_insert(payload, _SCHEMA, caller)
    except InvalidArgument as fault:
        insert_fault(payload, fault)
    _refusing(lambda raw: GrpcSearchCodec(_SCHEMA).decode(raw, caller), payload, InvalidArgument)
    wants_inline_errors(payload)
    for kind in (pb.DeleteRequest, pb.UpdateMetadataRequest, pb.BatchDeleteRequest, pb.BulkQueryRequest):
        _refusing(functools.partial(decode.parse, kind), payload, InvalidArgument)


def filters(data: bytes) -> None:
    """Filters off the wire and as dicts, evaluated; numbers in text."""
    text = data.decode("utf-8", "replace")
    parse_number(text)
    with contextlib.suppress(InvalidArgument):
        _evaluate(decode_filter(decode.parse(pb.MetadataFilter, data)))
    try:
        condition = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(condition, dict):
        with contextlib.suppress(InvalidArgument):
            _evaluate(parse_filter(condition))


def _evaluate(condition: Filter) -> None:
    check_filter(condition)
    for metadata in ({}, {"a": "1", "year": "2020"}, {"": "nan"}):
        matches(condition, metadata)


def config(data: bytes) -> None:
    """A configuration file; the first byte chooses its form. Or one environment variable."""
    form = data[0] % 4 if data else 0
    if form == 3:
        name, _, value = data[1:].decode("utf-8", "replace").partition("=")
        environ = {f"KYRODB__{name}": value.replace("\0", "")}
        _refusing(lambda raw: load_settings(None, environ, Overrides()), data, ConfigError)
        return
    path = _SCRATCH / f"config.{('yaml', 'toml', 'json')[form]}"
    path.write_bytes(data[1:])
    _refusing(lambda raw: load_settings(path, {}, Overrides()), data, ConfigError)


def api_keys(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    _refusing(lambda raw: parse_key_file(text, _PATH, only_loopback=False), data, ConfigError)


def _refusing(decoder: Callable[[bytes], object], data: bytes, *errors: type[Exception]) -> None:
    with contextlib.suppress(*errors):
        decoder(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wal": wal,
    "section_footer": section_footer,
    "manifest": manifest,
    "records": records,
    "requests": requests,
    "filters": filters,
    "config": config,
    "api_keys": api_keys,
}
