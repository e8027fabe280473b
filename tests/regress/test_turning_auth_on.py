"""Turning keys on or off in front of a directory: nobody loses a document by it, and nobody gets another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.server.running import running_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro
from pykyro.cli.kyrodb import main
from pykyro.model.types import Vector

IDS = (7, 2**32 + 7, 2 * 2**32 + 7, 2**64 - 1)
"""Once the first tenant's 7 took the place of the second of these, and the second tenant's that of the third."""
OWNERS = ("", "acme", "globex")


def vector(owner: str, doc_id: int) -> Vector:
    rng = np.random.default_rng([OWNERS.index(owner), doc_id % 2**31, doc_id >> 32])
    return rng.normal(size=4).astype(np.float32)


@pytest.mark.parametrize("sealed", [False, True])
def test_documents_of_nobody_and_of_tenants_never_meet(tmp_path: Path, sealed: bool) -> None:
    keys = write_keys(tmp_path / "keys.yaml", entry("acme", is_admin=True), entry("globex"))
    with_keys: dict[str, Any] = {"auth__enabled": True, "auth__api_keys_file": keys, "hnsw__dimension": 4}

    def client(url: str, owner: str) -> pykyro.Client:
        return pykyro.Client(url, api_key=key_of(owner) if owner else None)

    def require(url: str, owner: str) -> None:
        with client(url, owner) as own:
            for doc_id, found in zip(IDS, own.get_many(IDS), strict=True):
                assert found is not None
                assert (found.id, found.metadata) == (doc_id, {"owner": owner})
                assert found.vector is not None
                assert found.vector.tobytes() == vector(owner, doc_id).tobytes()
            answer = own.search(vector(owner, 7), 100, exact=True)
            assert sorted(hit.id for hit in answer) == sorted(IDS)
            assert answer.matched == len(IDS)
            assert {hit.metadata["owner"] for hit in answer} == {owner}

    def store(url: str, owner: str) -> None:
        with client(url, owner) as own:
            report = own.insert_many([(doc_id, vector(owner, doc_id), {"owner": owner}) for doc_id in IDS])
            assert report.inserted == len(IDS)
            if sealed and owner != "globex":
                own.flush()

    with running_server(tmp_path, hnsw__dimension=4) as server:
        store(f"127.0.0.1:{server.port}", "")
    with running_server(tmp_path, **with_keys) as server:
        for owner in ("acme", "globex"):
            with client(f"127.0.0.1:{server.port}", owner) as own:
                assert own.get_many(IDS) == [None] * len(IDS)
                assert own.delete_many(IDS) == 0
            store(f"127.0.0.1:{server.port}", owner)
            require(f"127.0.0.1:{server.port}", owner)
    with running_server(tmp_path, hnsw__dimension=4) as server:
        require(f"127.0.0.1:{server.port}", "")
        with client(f"127.0.0.1:{server.port}", "") as nobody:
            # Nothing that nobody does reaches a tenant: not by id, not by filter.
            assert nobody.delete_many(filter={"owner": "acme"}) == 0
            assert nobody.delete_many(IDS[1:]) == 3
        store(f"127.0.0.1:{server.port}", "")
        require(f"127.0.0.1:{server.port}", "")
    with running_server(tmp_path, **with_keys) as server:
        require(f"127.0.0.1:{server.port}", "acme")
        require(f"127.0.0.1:{server.port}", "globex")
    out = tmp_path / "out"
    assert main(["export", "--data-dir", str(tmp_path / "data"), "--out", str(out), "--format", "jsonl"]) == 0
    rows = (out / "part-00001.jsonl").read_text().splitlines()
    assert len(rows) == len(OWNERS) * len(IDS)
