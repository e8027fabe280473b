"""SIGHUP against a real server that several tenants share: keys and rates change, and a bad file changes nothing."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.contract.tenants import OTHER, OWN, Tenants, shared_server
from tests.patience import PATIENCE_S
from tests.tenancy.keys import CANARY, entry, key_of, write_keys

from pykyro.proto import kyrodb_pb2 as pb

NEW = key_of("initech", "new" + CANARY)
QUERY = pb.QueryRequest(doc_id=1)
ENTRIES = (entry("acme", key=OWN), entry("globex", key=OTHER))


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with shared_server(tmp_path_factory.mktemp("reload"), *ENTRIES) as shared:
        yield shared


@pytest.fixture(autouse=True)
def as_at_the_start(tenants: Tenants) -> Iterator[None]:
    yield
    write_keys(tenants.keys, *ENTRIES)
    tenants.keys.chmod(0o600)
    tenants.reload()


def code(tenants: Tenants, key: str) -> str:
    return tenants.call("Query", [QUERY], key).code


def test_a_new_tenant_is_served_and_its_documents_are_its_own(tenants: Tenants) -> None:
    assert code(tenants, NEW) == "UNAUTHENTICATED"
    write_keys(tenants.keys, *ENTRIES, entry("initech", key=NEW))
    tenants.reload()
    put = pb.InsertRequest(doc_id=1, embedding=[1.0, 0, 0, 0], metadata={"of": "initech"})
    assert tenants.call("Insert", [put], NEW).code == "OK"
    (found,) = tenants.call("Query", [QUERY], NEW).messages
    (others,) = tenants.call("Query", [QUERY], OWN).messages
    assert (found.found, others.found) == (True, False)  # type: ignore[attr-defined]
    assert tenants.http("/usage", NEW).status_code == 200


def test_a_disabled_key_opens_no_more_and_the_others_go_on(tenants: Tenants) -> None:
    assert (code(tenants, OWN), code(tenants, OTHER)) == ("OK", "OK")
    write_keys(tenants.keys, entry("acme", key=OWN, enabled="false"), ENTRIES[1])
    tenants.reload()
    assert (code(tenants, OWN), code(tenants, OTHER)) == ("UNAUTHENTICATED", "OK")
    assert tenants.http("/usage", OWN).status_code == 401


def test_a_stream_that_is_open_ends_when_its_key_is_disabled(tenants: Tenants) -> None:
    requests: queue.SimpleQueue[pb.SearchRequest | None] = queue.SimpleQueue()
    search = pb.SearchRequest(query_embedding=[1.0, 0, 0, 0], k=1)
    answers: Any = tenants.server.stub.BulkSearch(
        iter(requests.get, None), metadata=(("x-api-key", OWN),), timeout=PATIENCE_S
    )
    requests.put(search)
    next(answers)
    write_keys(tenants.keys, ENTRIES[1])
    tenants.reload()
    requests.put(search)
    with pytest.raises(grpc.RpcError) as ended:
        next(answers)
    requests.put(None)
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_limits_of_a_key_change_while_it_is_in_use(tenants: Tenants) -> None:
    assert code(tenants, OTHER) == "OK"
    write_keys(tenants.keys, ENTRIES[0], entry("globex", key=OTHER, max_qps=2, max_vectors=1))
    tenants.reload()
    assert "RESOURCE_EXHAUSTED" in {code(tenants, OTHER) for _ in range(8)}
    time.sleep(1.0)
    stream = [pb.InsertRequest(doc_id=8, embedding=[1.0, 0, 0, 0])]
    assert tenants.call("Insert", stream, OTHER).code == "OK"
    stream[0].doc_id = 9
    assert "max_vectors quota exceeded" in tenants.call("Insert", stream, OTHER).text


@pytest.mark.parametrize("fault", ["syntax", "field", "mode", "missing"])
def test_a_bad_key_file_keeps_the_old_keys_and_is_seen(tenants: Tenants, fault: str) -> None:
    match fault:
        case "syntax":
            tenants.keys.write_text(f'api_keys:\n  - key: "kyro_secretive_{CANARY}')
        case "field":
            write_keys(tenants.keys, *ENTRIES, entry("secretive", max_vectors=0))
        case "mode":
            tenants.keys.chmod(0o644)
        case "missing":
            tenants.keys.unlink()
    tenants.reload(refused=True)
    assert (code(tenants, OWN), code(tenants, OTHER)) == ("OK", "OK")
    health = tenants.http("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert "auth.api_keys_file: cannot be used" in health.json()["reason"]
    assert "secretive" not in health.text
    assert str(tenants.keys.parent) not in health.text
    assert CANARY not in tenants.server.log
    write_keys(tenants.keys, *ENTRIES)
    tenants.keys.chmod(0o600)
    tenants.reload()
    assert tenants.http("/health").json()["status"] == "healthy"


def test_a_server_without_a_usable_key_file_does_not_start(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.yaml", entry(key=key_of("acme", CANARY), max_vectors=0))
    with (
        pytest.raises(AssertionError, match=r"max_vectors must be a whole number") as failed,
        shared_server(tmp_path, entry(key=key_of("acme", CANARY), max_vectors=0)),
    ):
        pass
    assert CANARY not in str(failed.value)
