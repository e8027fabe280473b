"""Words on a real server: tenants have statistics of their own, and a restart changes no score."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.contract.corner import DIMENSION
from tests.contract.tenants import ADMIN, OTHER, OWN, shared_server
from tests.server.running import RunningServer, running_server

import pykyro
from pykyro.proto import kyrodb_pb2 as pb

ROWS = np.eye(DIMENSION, dtype=np.float32)
TEXTS = ["red fox", "brown fox and red dog", "brown dog", "red"]


def scores(client: pykyro.Client, query: str = "red fox") -> list[tuple[int, float]]:
    return [(hit.id, hit.score) for hit in client.search(text=query)]


def test_statistics_are_of_the_tenant(tmp_path: Path) -> None:
    with shared_server(tmp_path, collections__default_text_keys="body") as tenants:
        target = f"127.0.0.1:{tenants.server.port}"
        with (
            pykyro.Client(target, api_key=OWN) as own,
            pykyro.Client(target, api_key=OTHER) as other,
            pykyro.Client(target, api_key=ADMIN) as admin,
        ):
            for at, text in enumerate(TEXTS):
                own.insert(at + 1, ROWS[at], {"body": text})
            alone = scores(own)
            assert [doc_id for doc_id, _ in alone] == [1, 2, 4]
            assert scores(other) == []
            for at in range(20):
                other.insert(at + 1, ROWS[0], {"body": "red red fox " * at})
            assert scores(own) == alone
            admin.flush()
            assert scores(own) == alone
            assert scores(other)[0][1] != alone[0][1]
            # What a plan tells of the others is for admins.
            assert own.search(text="fox").plan == ""
            assert "postings" in admin.search(text="fox").plan


def test_a_restart_changes_no_score(tmp_path: Path) -> None:
    settings = {
        "hnsw__dimension": DIMENSION,
        "collections__default_text_keys": "title, body",
        "collections__default_text_language": "english",
    }
    with running_server(tmp_path, **settings) as server, pykyro.Client(f"127.0.0.1:{server.port}") as client:
        for at, text in enumerate(TEXTS):
            client.insert(at + 1, ROWS[at], {"body": text})
        before = scores(client, "foxes -dogs red")
        assert [doc_id for doc_id, _ in before] == [1, 4]
        server.process.kill()
        server.process.wait()
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        with pykyro.Client(f"127.0.0.1:{server.port}") as client:
            assert scores(client, "foxes -dogs red") == before
            client.flush()
            assert scores(client, "foxes -dogs red") == before
        with pytest.raises(grpc.RpcError) as refused:
            server.stub.Search(pb.SearchRequest(k=1, explain=True, query_embedding=[1.0] * DIMENSION))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_mixes_all_kinds_of_searches(server: RunningServer) -> None:
    vector = [1.0] * DIMENSION
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        client.create_collection("mixed", DIMENSION, text="body")
        collection = client.collection("mixed")
        for at, text in enumerate(TEXTS):
            collection.insert(at + 1, ROWS[at] + 0.1, {"body": text})
        requests = []
        for turn in range(40):
            kind = turn % 4
            request = pb.SearchRequest(k=10, collection="mixed", inline_errors=True)
            if kind in (0, 2):
                request.query_embedding.extend(vector)
            if kind in (1, 2):
                request.text = "fox"
            requests.append(request)
        answers = list(server.stub.BulkSearch(iter(requests)))
        assert [len(answer.results) for answer in answers] == [4, 2, 4, 0] * 10
        assert all(bool(answer.error) == (at % 4 == 3) for at, answer in enumerate(answers))
        client.drop_collection("mixed")
