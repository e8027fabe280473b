"""Non-interference: what globex reads and gets is the same, byte for byte, with and without acme's traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from tests.contract.corner import TRANSPORTS
from tests.contract.tenants import ADMIN, OTHER, OWN, Tenants, shared_server
from tests.contract.test_isolation import plain

from pykyro.proto import kyrodb_pb2 as pb

AXES = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.7, 0.7, 0.1, 0.0], [0.6, 0.0, 0.8, 0.0]]
RED = pb.MetadataFilter(exact=pb.ExactMatch(key="colour", value="red"))


def put(doc_id: int, colour: str, namespace: str = "") -> pb.InsertRequest:
    return pb.InsertRequest(
        doc_id=doc_id, embedding=AXES[doc_id % 4], metadata={"colour": colour}, namespace=namespace
    )


def search(axis: int, **fields: Any) -> pb.SearchRequest:
    return pb.SearchRequest(query_embedding=AXES[axis], k=5, include_embeddings=True, **fields)


SCRIPT: list[tuple[str, list[Message]]] = [
    ("Search", [search(0)]),
    ("Insert", [put(1, "red")]),
    ("BulkInsert", [put(2, "blue", "n"), put(3, "red"), put(0, "none")]),
    ("BulkLoadHnsw", [put(4, "red", "n"), put(5, "blue")]),
    ("Search", [search(0)]),
    ("Search", [search(0)]),
    ("Search", [search(2, filter=RED)]),
    ("BulkSearch", [search(1), search(2, namespace="n"), search(3, filter=RED)]),
    ("Query", [pb.QueryRequest(doc_id=3, include_embedding=True)]),
    ("BulkQuery", [pb.BulkQueryRequest(doc_ids=[1, 2, 77, 0], include_embeddings=True)]),
    ("UpdateMetadata", [pb.UpdateMetadataRequest(doc_id=3, metadata={"colour": "blue"})]),
    ("Search", [search(2, filter=RED)]),
    ("Delete", [pb.DeleteRequest(doc_id=1)]),
    ("Delete", [pb.DeleteRequest(doc_id=1)]),
    ("Search", [search(0)]),
    ("Insert", [put(2**32, "red")]),
    ("BatchDelete", [pb.BatchDeleteRequest(filter=RED)]),
    ("BatchDelete", [pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=[2, 3, 88]))]),
    ("Search", [search(0)]),
    ("Insert", [put(6, "red")]),
]
"""What globex does."""


def acme(tenants: Tenants, step: int) -> None:
    """Traffic that touches everything globex touches: the same ids, vectors, filters and caches."""
    red = pb.MetadataFilter(exact=pb.ExactMatch(key="colour", value="red"))
    calls: list[tuple[str, list[Message]]] = [
        ("BulkInsert", [put(doc_id, "red", "n") for doc_id in range(1, 12)]),
        ("Search", [search(step % 4)]),
        ("Search", [search(2, filter=red)]),
        ("Query", [pb.QueryRequest(doc_id=3)]),
        ("UpdateMetadata", [pb.UpdateMetadataRequest(doc_id=2, metadata={"colour": "green"})]),
        ("Delete", [pb.DeleteRequest(doc_id=1)]),
        ("BatchDelete", [pb.BatchDeleteRequest(filter=red)]),
        ("Search", [search(step % 4)]),
        ("Insert", [put(1, "red")]),
    ]
    for rpc, requests in calls:
        assert tenants.call(rpc, requests, OWN).code == "OK"


def seen_by_globex(directory: Path, transport: str, between: Callable[[Tenants, int], None]) -> list[object]:
    """Every answer of the script, and at the end the usage, with `between` done before each step."""
    directory.mkdir()
    seen: list[object] = []
    with shared_server(directory, server__transport=transport) as tenants:
        for step, (rpc, requests) in enumerate(SCRIPT):
            between(tenants, step)
            if step == 12:
                # Half of the script is answered from the hot tier, the rest from a segment too.
                assert tenants.call("FlushHotTier", [pb.FlushRequest(force=True)], ADMIN).code == "OK"
            seen.append(plain(tenants.call(rpc, requests, OTHER)))
        usage = tenants.http("/usage", OTHER).json()
        assert usage.pop("generated_at") > 0
        seen.append(usage)
    return seen


# One transport, since the answers are made behind it.
@pytest.mark.parametrize("transport", TRANSPORTS[-1:])
def test_one_tenant_cannot_tell_whether_another_is_busy(tmp_path: Path, transport: str) -> None:
    alone = seen_by_globex(tmp_path / "alone", transport, lambda tenants, step: None)
    beside = seen_by_globex(tmp_path / "beside", transport, acme)
    for step, (left, right) in enumerate(zip(alone, beside, strict=True)):
        assert left == right, SCRIPT[step] if step < len(SCRIPT) else "usage"
    assert alone[-1] == {
        "totals": {"query_count": 15, "vector_count": 2, "storage_bytes": 32, "billable_events": 27},
        "tenants": [
            {
                "tenant_id": "globex",
                "query_count": 15,
                "insert_count": 7,
                "delete_count": 5,
                "vector_count": 2,
                "storage_bytes": 32,
                "storage_mb": 32 / 2**20,
                "storage_gb": 32 / 2**30,
                "billable_events": 27,
            }
        ],
    }
