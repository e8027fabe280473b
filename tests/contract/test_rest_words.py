"""Searches by words over REST: what they find, score and refuse is what the Python client is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, running_server

import pykyro

TEXTS = ["The quick brown fox", "A lazy brown dog", "Foxes and dogs, quickly", "E1042: disk full"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("words"), hnsw__dimension=3) as running:
        yield running


def ask(server: RunningServer, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    address = f"http://127.0.0.1:{server.http_port}/v1/collections/{path}"
    response = httpx.request(method, address, json=body, timeout=PATIENCE_S, trust_env=False)
    return response.status_code, response.json()


def test_words_over_rest(server: RunningServer) -> None:
    text = {"keys": ["body"], "language": "english", "k1": 1.5}
    status, made = ask(server, "PUT", "notes", {"dimension": 3, "text": text})
    assert (status, made["text"]) == (201, {**text, "b": 0.75, "stop_words": False})
    assert made["cold_tier"] == "local"
    documents = [
        {"id": at + 1, "vector": [1, at, 0.5], "metadata": {"body": body}} for at, body in enumerate(TEXTS)
    ]
    assert ask(server, "POST", "notes/documents", {"documents": documents})[1]["inserted"] == 4
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        notes = client.collection("notes")
        for query in ("fox", '"brown fox"', "quick* -dog", "+e1042 fox", ""):
            wanted = notes.search(text=query, highlight=True)
            found = ask(server, "POST", "notes/search", {"text": query, "highlight": True})[1]
            assert [(hit["id"], hit["score"]) for hit in found["hits"]] == [
                (hit.id, hit.score) for hit in wanted
            ]
            shown = [[tuple(one.values()) for one in hit.get("highlights", ())] for hit in found["hits"]]
            assert shown == [list(hit.highlights) for hit in wanted]
        fused = {"vector": [1, 0, 0.5], "text": "dog", "fuse": {"weights": {"text": 2}}, "explain": True}
        ranked = {"vector": [1, 0, 0.5], "text": "dog", "k": 1, "depth": {"text": 1}}
        assert ask(server, "POST", "notes/search", ranked)[1]["fusion"] == "as_asked"
        found = ask(server, "POST", "notes/search", fused)[1]
        best = notes.search([1, 0, 0.5], text="dog", fuse={"weights": {"text": 2}}, explain=True)
        assert [(hit["id"], hit["score"]) for hit in found["hits"]] == [(hit.id, hit.score) for hit in best]
        assert found["fusion"] == "exhausted"
        legs = {leg["leg"]: (leg["rank"], leg["score"]) for leg in found["hits"][0]["legs"]}
        assert legs == {name: (leg.rank, leg.score) for name, leg in best[0].legs.items()}
        many = ask(server, "POST", "notes/search_many", {"searches": [{"text": "fox"}, fused]})[1]["answers"]
        assert [len(one["hits"]) for one in many] == [2, 4]


def test_what_is_refused_names_the_field(server: RunningServer) -> None:
    ask(server, "PUT", "plain", {"dimension": 3, "exist_ok": True})
    for path, body, status, field in (
        ("plain/search", {}, 400, "vector"),
        ("plain/search", {"vector": [1, 2, 3], "highlight": True}, 400, "highlight"),
        ("plain/search", {"text": "fox", "fuse": "rrf"}, 400, "fuse"),
        ("plain/search", {"vector": [1, 2, 3], "text": "fox", "fuse": "sum"}, 400, "fuse"),
        ("plain/search", {"text": 7}, 400, "text"),
    ):
        told, problem = ask(server, "POST", path, body)
        assert (told, problem["field"]) == (status, field), problem
    told, problem = ask(server, "POST", "plain/search", {"text": "fox"})
    assert (told, problem["code"]) == (412, "FAILED_PRECONDITION")
    told, problem = ask(
        server, "PUT", "odd", {"dimension": 3, "text": {"keys": ["a"], "language": "klingon"}}
    )
    assert told == 400
    assert "klingon" in problem["detail"]
    told, problem = ask(server, "PUT", "odd", {"dimension": 3, "cold_tier": "milvus"})
    assert told == 400
    assert "milvus" in problem["detail"]


def test_the_description_says_so(server: RunningServer) -> None:
    address = f"http://127.0.0.1:{server.http_port}/v1/openapi.json"
    schemas = httpx.get(address, timeout=PATIENCE_S, trust_env=False).json()["components"]["schemas"]
    assert {"text", "fuse", "highlight"} <= schemas["Search"]["properties"].keys()
    assert "vector" not in schemas["Search"].get("required", ())
    assert {"text", "cold_tier"} <= schemas["CreateCollection"]["properties"].keys()


def test_groups_and_unlike_documents_over_rest(server: RunningServer) -> None:
    ask(server, "PUT", "groups", {"dimension": 3, "text": "body"})
    documents = [
        {"id": at + 1, "vector": [1, at, 0.5], "metadata": {"body": body, "page": [7, 7.0, "7", 8][at]}}
        for at, body in enumerate(TEXTS)
    ]
    ask(server, "POST", "groups/documents", {"documents": documents})
    vector = [1, 0, 0.5]
    found = ask(server, "POST", "groups/search", {"vector": vector, "group_by": "page", "group_size": 2})[1]
    assert [(hit["group"], hit["id"]) for hit in found["hits"]] == [(7, 1), (7, 2), ("7", 3), (8, 4)]
    found = ask(server, "POST", "groups/search", {"text": "brown", "group_by": "page"})[1]
    assert [(hit["group"], hit["id"]) for hit in found["hits"]] == [(7, 1)]
    found = ask(server, "POST", "groups/search", {"vector": vector, "k": 2, "mmr": {"relevance": 0}})[1]
    assert [hit["id"] for hit in found["hits"]] == [1, 4]
    for body, field in (
        ({"group_by": "page", "mmr": 1}, "mmr"),
        ({"group_size": 1}, "group_size"),
        ({"mmr": {"candidates": 1}}, "mmr.candidates"),
        ({"mmr": "much"}, "mmr"),
    ):
        told, problem = ask(server, "POST", "groups/search", {"vector": vector, **body})
        assert (told, problem["field"].split(".")[0]) == (400, field.split(".")[0]), problem
