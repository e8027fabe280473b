"""The first corpus: one good input of each kind, from which mutation starts. `python -m fuzz.seeds` writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.storage import golden_files

from pykyro.model.metadata_wire import encode_metadata
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.storage.manifest import encode_manifest
from pykyro.storage.wal.records import DeleteRecord, MergeRecord, MetadataRecord, PutRecord
from pykyro.storage.wal.writer import encode_records
from pykyro.tenancy.usage_file import encode_counts

ROOT = Path(__file__).parent.parent


def seeds() -> dict[str, list[bytes]]:
    files = golden_files.files()
    operations = golden_files.operations()
    footer = files["sections.rows"].split(b"{", 1)[1].rsplit(b"}", 1)[0]
    manifest = encode_manifest(golden_files.manifest()).partition(b"\n")
    return {
        "wal": [
            files["open.wal"],
            files["sealed.wal"],
            files["merges.wal"],
            _frames(*operations),
            _frames(b"", b"x" * 200),
        ],
        "section_footer": [b"{" + footer + b"}", _footer()],
        "manifest": [files["MANIFEST"], manifest[2], files["MANIFEST.merges"]],
        "records": [
            *operations,
            _records(),
            encode_metadata({"a": "b", "c": "d" * 200}),
            encode_counts({"t": (1, 2, 3)}),
            *golden_files.merges(),
            encode_records(
                [MergeRecord(7, {"a": "b"}, encode_metadata({"a": "b"})), DeleteRecord(7)], tenanted=True
            ),
        ],
        "requests": [b"\0" + message for message in _requests()]
        + [b"\1" + message for message in _requests()],
        "filters": [_filter().SerializeToString(), *_filter_dicts()],
        "config": [
            bytes([number]) + (ROOT / name).read_bytes()
            for number, name in ((0, "config.pilot.yaml"), (1, "config.pilot.toml"))
        ]
        + [b"\2" + json.dumps({"server": {"port": 1}}).encode(), b"\3SERVER__PORT=50051"],
        "api_keys": [(ROOT / "config.pilot.api_keys.example.yaml").read_bytes()],
    }


def _frames(*contents: bytes) -> bytes:
    """Described as targets.wal wants them."""
    return b"".join(bytes([1 | 0x80, 1, 1, len(c[:255])]) + c[:255] for c in contents) + b"\1"


def _footer() -> bytes:
    section = {"dtype": "<f4", "shape": [2, 4], "offset": 64, "digest": "0" * 32}
    return json.dumps({"format": 1, "attributes": {"rows": 2}, "sections": {"vectors": section}}).encode()


def _records() -> bytes:
    vector = np.arange(4, dtype=np.float32)
    wire = encode_metadata({"a": "b"})
    return encode_records(
        [PutRecord(7, vector, {}, wire), MetadataRecord(7, {}, b""), DeleteRecord(7)], tenanted=False
    )


def _filter() -> pb.MetadataFilter:
    exact = pb.MetadataFilter(exact=pb.ExactMatch(key="a", value="1"))
    ranged = pb.MetadataFilter(range=pb.RangeMatch(key="year", gte="2020"))
    listed = pb.MetadataFilter(in_match=pb.InMatch(key="a", values=["1", "2"]))
    inverted = pb.MetadataFilter(not_filter=pb.NotFilter(filter=exact))
    both = pb.MetadataFilter(and_filter=pb.AndFilter(filters=[exact, ranged, inverted]))
    return pb.MetadataFilter(or_filter=pb.OrFilter(filters=[both, listed]))


def _filter_dicts() -> list[bytes]:
    conditions = [
        {"a": "1", "year": {"$gte": 2020, "$lt": 1e300}},
        {
            "$or": [{"a": {"$in": ["1", 2]}}, {"$not": {"a": {"$exists": True}}}],
            "b": {"$nin": [], "$ne": "x"},
        },
    ]
    return [json.dumps(condition).encode() for condition in conditions]


def _requests() -> list[bytes]:
    vector = [1.0, 2.0, 3.0, 4.0]
    messages = [
        pb.InsertRequest(doc_id=7, embedding=vector, metadata={"a": "b"}, namespace="n"),
        pb.SearchRequest(query_embedding=vector, k=10, filter=_filter(), metadata_filters={"a": "b"}),
        pb.UpdateMetadataRequest(doc_id=7, metadata={"a": "b"}, merge=True),
        pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=[1, 2])),
        pb.BulkQueryRequest(doc_ids=[1, 2, 3], include_embeddings=True),
    ]
    return [message.SerializeToString() for message in messages]


if __name__ == "__main__":
    for target, inputs in seeds().items():
        directory = Path(__file__).parent / "corpus" / target
        directory.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (directory / f"seed-{number:02d}").write_bytes(data)
