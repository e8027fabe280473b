"""Quotas, rates and usage, as the clients of a real server meet them."""

from __future__ import annotations

import csv
import io
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.corner import DIMENSION, TRANSPORTS
from tests.contract.tenants import ADMIN, OTHER, OWN, Answer, Tenants, called, shared_server
from tests.patience import wait_until
from tests.server.running import running_server
from tests.tenancy.keys import entry, key_of

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.storage import filename
from pykyro.tenancy.usage_file import decode_counts

VECTOR = [1.0, 0.0, 0.0, 0.0]
SLOW, STREAMS = key_of("slow", "w" * 32), key_of("streams", "m" * 32)
ENTRIES = (
    entry("acme", key=OWN, max_vectors=50),
    entry("acme", key=ADMIN, max_vectors=50, is_admin="true"),
    entry("globex", key=OTHER),
    entry("slow", key=SLOW, max_qps=3),
    entry("streams", key=STREAMS, max_qps=5),
)


def put(doc_id: int, vector: list[float] = VECTOR) -> pb.InsertRequest:
    return pb.InsertRequest(doc_id=doc_id, embedding=vector)


@pytest.fixture(scope="module", params=TRANSPORTS)
def tenants(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    directory = tmp_path_factory.mktemp(f"limits-{request.param}")
    with shared_server(directory, *ENTRIES, server__transport=request.param) as shared:
        yield shared


def empty(tenants: Tenants, key: str) -> None:
    everything = pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=range(1, 2000)))
    assert tenants.call("BatchDelete", [everything], key).code == "OK"


def vectors_of(tenants: Tenants, key: str) -> int:
    return int(tenants.http("/usage", key).json()["totals"]["vector_count"])


# --- quota ----------------------------------------------------------------------------------------


def test_the_quota_is_exact_when_every_way_in_races(tenants: Tenants) -> None:
    empty(tenants, OWN)
    stored: list[int] = []

    def unary(first: int) -> None:
        answers = [tenants.call("Insert", [put(first + at)], OWN) for at in range(20)]
        stored.append(sum(answer.code == "OK" for answer in answers))

    def bulk(first: int) -> None:
        (answer,) = tenants.call("BulkInsert", [put(first + at) for at in range(40)], OWN).messages
        stored.append(answer.total_inserted)  # type: ignore[attr-defined]

    threads = [threading.Thread(target=unary, args=(1 + 100 * at,)) for at in range(3)]
    threads += [threading.Thread(target=bulk, args=(1000 + 100 * at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(stored) == 50
    assert vectors_of(tenants, OWN) == 50
    refused = tenants.call("Insert", [put(1999)], ADMIN)
    assert (refused.code, refused.text) == (
        "RESOURCE_EXHAUSTED",
        "max_vectors quota exceeded: tenant=acme limit=50",
    )
    assert "retry-after-ms" not in refused.trailing
    assert tenants.call("Insert", [put(1)], OTHER).code == "OK"


def test_an_upsert_is_free_and_a_delete_makes_room(tenants: Tenants) -> None:
    empty(tenants, OWN)
    tenants.call("BulkInsert", [put(at) for at in range(1, 51)], OWN)
    assert tenants.call("Insert", [put(50, [0.0, 1.0, 0.0, 0.0])], OWN).code == "OK"
    assert tenants.call("Insert", [put(51)], OWN).code == "RESOURCE_EXHAUSTED"
    assert tenants.call("Delete", [pb.DeleteRequest(doc_id=7)], OWN).code == "OK"
    assert tenants.call("Insert", [put(51)], OWN).code == "OK"


def test_a_bulk_insert_counts_what_finds_no_room_and_goes_on(tenants: Tenants) -> None:
    empty(tenants, OWN)
    stream = [put(at) for at in range(1, 53)] + [put(1)]
    (answer,) = tenants.call("BulkInsert", stream, OWN).messages
    assert (answer.total_inserted, answer.total_failed) == (51, 2)  # type: ignore[attr-defined]
    assert answer.error == "max_vectors quota exceeded: tenant=acme limit=50"  # type: ignore[attr-defined]


def test_a_load_over_the_quota_ends_and_what_fitted_stays(tenants: Tenants) -> None:
    empty(tenants, OWN)
    answer = tenants.call("BulkLoadHnsw", [put(at) for at in range(1, 61)], OWN)
    assert (answer.code, answer.text) == (
        "RESOURCE_EXHAUSTED",
        "max_vectors quota exceeded: tenant=acme limit=50",
    )
    assert vectors_of(tenants, OWN) == 50


# --- rates ----------------------------------------------------------------------------------------


def exhausted(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.code == "RESOURCE_EXHAUSTED"]


def test_a_tenant_over_its_rate_is_told_when_to_come_back(tenants: Tenants) -> None:
    answers = [tenants.call("Query", [pb.QueryRequest(doc_id=1)], SLOW) for _ in range(12)]
    refused = exhausted(answers)
    assert len(refused) >= 6
    assert {answer.text for answer in refused} == {"rate limit exceeded"}
    wait_ms = int(refused[-1].trailing["retry-after-ms"])
    assert 0 < wait_ms <= 334
    time.sleep(wait_ms / 1000)
    assert tenants.call("Query", [pb.QueryRequest(doc_id=1)], SLOW).code == "OK"


def test_a_wrong_request_costs_too_and_what_is_unmetered_does_not(tenants: Tenants) -> None:
    time.sleep(1.0)
    codes = [tenants.call("Query", [pb.QueryRequest(doc_id=0)], SLOW).code for _ in range(8)]
    assert codes[0] == "INVALID_ARGUMENT"
    assert codes[-1] == "RESOURCE_EXHAUSTED"
    for rpc, request in (
        ("Health", pb.HealthRequest()),
        ("Metrics", pb.MetricsRequest()),
        ("GetConfig", pb.ConfigRequest()),
    ):
        assert {tenants.call(rpc, [request], SLOW).code for _ in range(8)} == {"OK"}


def test_each_message_of_a_stream_costs_and_what_came_before_stays(tenants: Tenants) -> None:
    time.sleep(1.0)
    answer = tenants.call("BulkInsert", [put(at) for at in range(1, 101)], STREAMS)
    assert (answer.code, answer.text) == ("RESOURCE_EXHAUSTED", "rate limit exceeded")
    assert int(answer.trailing["retry-after-ms"]) > 0
    # One of five tokens opens the stream; a slow machine lets some come back on the way.
    assert 4 <= vectors_of(tenants, STREAMS) < 100


def test_searches_of_a_stream_before_the_refusal_are_answered(tenants: Tenants) -> None:
    time.sleep(1.0)
    request = pb.SearchRequest(query_embedding=VECTOR, k=1)
    answer = tenants.call("BulkSearch", [request] * 100, STREAMS)
    assert (answer.code, answer.text) == ("RESOURCE_EXHAUSTED", "rate limit exceeded")
    assert 5 <= len(answer.messages) < 100


def test_without_keys_each_address_has_a_rate(tmp_path: Path) -> None:
    with running_server(
        tmp_path,
        hnsw__dimension=DIMENSION,
        rate_limit__enabled="true",
        rate_limit__max_qps_per_connection=4,
    ) as server:
        answers = [called(server.stub, "Query", [pb.QueryRequest(doc_id=1)], ()) for _ in range(12)]
        refused = exhausted(answers)
        assert len(refused) >= 6
        assert int(refused[0].trailing["retry-after-ms"]) <= 250
        assert server.http("/health").status_code == 200


# --- usage ----------------------------------------------------------------------------------------


def test_usage_outlives_a_crash_and_is_exported_at_the_end(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with shared_server(tmp_path, *ENTRIES) as tenants:
        for doc_id in (1, 2, 3):
            tenants.call("Insert", [put(doc_id)], OTHER)
        tenants.call("Insert", [put(1)], OTHER)
        tenants.call("BulkQuery", [pb.BulkQueryRequest(doc_ids=[1, 9])], OTHER)
        tenants.call("Search", [pb.SearchRequest(query_embedding=VECTOR, k=1)], OTHER)
        tenants.call("Search", [pb.SearchRequest(query_embedding=VECTOR, k=0)], OTHER)
        tenants.call("Query", [pb.QueryRequest(doc_id=77)], OTHER)
        tenants.call("Delete", [pb.DeleteRequest(doc_id=3)], OTHER)
        tenants.call("Delete", [pb.DeleteRequest(doc_id=3)], OTHER)
        tenants.call("UpdateMetadata", [pb.UpdateMetadataRequest(doc_id=1)], OTHER)
        before = tenants.http("/usage", OTHER).json()
        row = before["tenants"][0]
        assert (row["query_count"], row["insert_count"], row["delete_count"]) == (4, 3, 1)
        assert (row["vector_count"], row["storage_bytes"], row["billable_events"]) == (2, 32, 8)
        kept = data / filename.USAGE
        wait_until(lambda: kept.exists() and decode_counts(kept.read_bytes()).get("globex") == (4, 3, 1))
        tenants.server.process.send_signal(signal.SIGKILL)
        tenants.server.process.wait()
    assert (data / "tenant_usage_latest.csv").exists()
    (tmp_path / "keys.yaml").unlink()
    with shared_server(tmp_path, *ENTRIES) as tenants:
        after = tenants.http("/usage", OTHER).json()
        assert after["tenants"] == before["tenants"]
        tenants.call("Query", [pb.QueryRequest(doc_id=1)], OTHER)
    (shutdown,) = data.glob("tenant_usage_shutdown_*.csv")
    assert shutdown.read_text() == (data / "tenant_usage_latest.csv").read_text()
    (line,) = csv.DictReader(io.StringIO(shutdown.read_text()))
    assert (line["tenant_id"], line["query_count"], line["vector_count"]) == ("globex", "5", "2")
