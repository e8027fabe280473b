"""Every RPC with every kind of key: what is refused, and that nobody sees what is another's.

The rows are found by reflection over the service: a new RPC fails here until it says what it does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.contract.corner import TRANSPORTS
from tests.contract.tenants import (
    ADMIN,
    DISABLED,
    MALFORMED,
    OTHER,
    OWN,
    UNKNOWN,
    Answer,
    Tenants,
    called,
    shared_server,
)
from tests.patience import PATIENCE_S
from tests.tenancy.keys import CANARY

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS
from pykyro.service.rpc_rules import RULES_OF_RPCS
from pykyro.version import SERVICE

HEADERS = ("x-api-key", "authorization")
SERVING = health_pb2.HealthCheckResponse.SERVING
SHARED, OWNED, ABSENT = 1, 2, 3
"""Ids: one that both tenants have, one that only acme has, one that nobody has."""
VECTOR = [1.0, 0.0, 0.0, 0.0]
_TIMES = ("inserted_at", "search_latency_ms", "load_duration_ms", "avg_insert_rate", "peak_memory_bytes")
_PLACES = ("search_path", "served_from", "cache_kind", "cache_margin")
"""Which tier or cache answered: that depends on when it was asked, and the tiers are shared."""
_POSITIONS = ("position",)
"""They count the writes of a collection, which its tenants share (docs/tenancy.md)."""


def put(doc_id: int, **metadata: str) -> pb.InsertRequest:
    return pb.InsertRequest(doc_id=doc_id, embedding=VECTOR, metadata=metadata)


def search(**fields: Any) -> pb.SearchRequest:
    return pb.SearchRequest(query_embedding=VECTOR, k=10, **fields)


@dataclass(frozen=True)
class Row:
    """An RPC that reads or writes documents: a request about the document `doc_id`, and whether an answer tells
    that it is there."""

    request: Callable[[int], Sequence[Message]]
    there: Callable[[Any], bool]


DATA = {
    "Query": Row(lambda i: [pb.QueryRequest(doc_id=i, include_embedding=True)], lambda m: bool(m.found)),
    "BulkQuery": Row(lambda i: [pb.BulkQueryRequest(doc_ids=[i])], lambda m: m.total_found == 1),
    "Search": Row(
        lambda i: [search(filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))],
        lambda m: [row.doc_id for row in m.results] == [OWNED],
    ),
    "BulkSearch": Row(
        lambda i: [search(filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))],
        lambda m: [row.doc_id for row in m.results] == [OWNED],
    ),
    "Scroll": Row(
        lambda i: [pb.ScrollRequest(filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))],
        lambda m: [document.doc_id for document in m.documents] == [OWNED],
    ),
    "Count": Row(
        lambda i: [pb.CountRequest(filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))],
        lambda m: m.count == 1,
    ),
    "Sample": Row(
        lambda i: [
            pb.SampleRequest(count=5, filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))
        ],
        lambda m: [document.doc_id for document in m.documents] == [OWNED],
    ),
    "Facets": Row(
        lambda i: [
            pb.FacetsRequest(key="id", filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))
        ],
        lambda m: [(facet.text, facet.count) for facet in m.facets] == [(str(OWNED), 1)],
    ),
    "UpdateMetadata": Row(
        lambda i: [pb.UpdateMetadataRequest(doc_id=i, metadata={"seen": "yes"}, merge=True)],
        lambda m: bool(m.existed),
    ),
    "BatchDelete": Row(
        lambda i: [
            pb.BatchDeleteRequest(filter=pb.MetadataFilter(exact=pb.ExactMatch(key="id", value=str(i))))
        ],
        lambda m: m.deleted_count == 1,
    ),
    "Delete": Row(lambda i: [pb.DeleteRequest(doc_id=i)], lambda m: bool(m.existed)),
}
"""In an order in which what one does leaves the next something to find; deletions last."""

WRITES: dict[str, Sequence[Message]] = {
    "Insert": [put(900)],
    "BulkInsert": [put(901), put(902)],
    "BulkLoadHnsw": [put(903), put(904)],
    "BatchInsert": [pb.BatchInsertRequest(documents=[put(905), put(906)])],
}
SERVER: dict[str, Message] = {
    "Health": pb.HealthRequest(),
    "Metrics": pb.MetricsRequest(),
    "GetConfig": pb.ConfigRequest(),
    "FlushHotTier": pb.FlushRequest(force=True),
    "Compact": pb.CompactRequest(),
    "CreateSnapshot": pb.SnapshotRequest(),
}
NOWHERE = "nowhere"
"""A collection that nobody made: what is asked of it is answered with NOT_FOUND, if the key may ask."""
COLLECTIONS: dict[str, Message] = {
    "CreateCollection": pb.CreateCollectionRequest(
        name="made", config=pb.CollectionConfig(dimension=4), exist_ok=True
    ),
    "ListCollections": pb.ListCollectionsRequest(),
    "DescribeCollection": pb.DescribeCollectionRequest(name="default"),
    "UpdateCollection": pb.UpdateCollectionRequest(name=NOWHERE, ef_search=60),
    "RenameCollection": pb.RenameCollectionRequest(name=NOWHERE, new_name="somewhere"),
    "SetAlias": pb.SetAliasRequest(alias="other", name=NOWHERE),
    "RemoveAlias": pb.RemoveAliasRequest(alias=NOWHERE),
    "MoveCollection": pb.MoveCollectionRequest(name=NOWHERE, cold_tier="local"),
    "DropCollection": pb.DropCollectionRequest(name=NOWHERE),
}
REQUESTS = (
    {name: row.request(OWNED) for name, row in DATA.items()}
    | WRITES
    | {name: [message] for name, message in (SERVER | COLLECTIONS).items()}
)


@pytest.fixture(scope="module", params=TRANSPORTS)
def tenants(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    directory = tmp_path_factory.mktemp(f"tenants-{request.param}")
    with shared_server(directory, server__transport=request.param) as shared:
        yield shared


@pytest.fixture
def stocked(tenants: Tenants) -> Tenants:
    """acme has SHARED and OWNED, globex has SHARED."""
    for key, doc_ids in ((OWN, (SHARED, OWNED)), (OTHER, (SHARED,))):
        for doc_id in doc_ids:
            assert tenants.call("Insert", [put(doc_id, id=str(doc_id), owner=key[5:9])], key).code == "OK"
    return tenants


def plain(answer: Answer) -> tuple[str, str, list[bytes]]:
    """An answer without what depends on the clock."""
    messages = []
    for message in answer.messages:
        copy = type(message)()
        copy.CopyFrom(message)
        for part in [copy, *getattr(copy, "results", [])]:
            for name in _TIMES + _PLACES + _POSITIONS:
                if name in part.DESCRIPTOR.fields_by_name:
                    part.ClearField(name)
        messages.append(copy.SerializeToString(deterministic=True))
    return answer.code, answer.text, messages


def test_every_rpc_has_its_rows() -> None:
    assert set(REQUESTS) == set(METHODS)
    assert set(RULES_OF_RPCS) == set(METHODS)


@pytest.mark.parametrize("rpc", METHODS)
def test_no_rpc_is_answered_without_a_key_that_opens(tenants: Tenants, rpc: str) -> None:
    without = tenants.call(rpc, REQUESTS[rpc], None)
    assert (without.code, without.text, without.messages) == ("UNAUTHENTICATED", "missing api key", [])
    keys = (MALFORMED, UNKNOWN, DISABLED, "", OWN[:-1], OWN + "x", OWN.upper())
    for key, header in itertools.product(keys, HEADERS):
        if not key and header == "authorization":
            continue  # "Bearer " ends in a blank, which HTTP/2 forbids: not every server takes it
        refused = tenants.call(rpc, REQUESTS[rpc], key, header=header)
        assert (refused.code, refused.text) == ("UNAUTHENTICATED", "invalid api key"), key
        assert refused.messages == []
        assert CANARY not in repr(refused)


@pytest.mark.parametrize("rpc", METHODS)
def test_every_rpc_is_answered_with_a_key_that_opens(stocked: Tenants, rpc: str) -> None:
    for header in HEADERS:
        code = "NOT_FOUND" if NOWHERE in repr(REQUESTS[rpc]) and rpc != "RemoveAlias" else "OK"
        assert stocked.call(rpc, REQUESTS[rpc], ADMIN, header=header).code == code
        answer = stocked.call(rpc, REQUESTS[rpc], OTHER, header=header)
        if RULES_OF_RPCS[rpc].admin:
            assert answer.code == "PERMISSION_DENIED"
            assert "is_admin: true" in answer.text
        else:
            assert answer.code == "OK"


@pytest.mark.parametrize("rpc", METHODS)
def test_a_wrong_first_header_is_not_saved_by_a_right_second(tenants: Tenants, rpc: str) -> None:
    metadata = (("x-api-key", UNKNOWN), ("authorization", f"Bearer {OWN}"))
    refused = called(tenants.server.stub, rpc, REQUESTS[rpc], metadata)
    assert (refused.code, refused.text) == ("UNAUTHENTICATED", "invalid api key")


@pytest.mark.parametrize("rpc", DATA)
def test_what_is_not_yours_looks_as_if_it_were_not_there(stocked: Tenants, rpc: str) -> None:
    row = DATA[rpc]
    theirs = stocked.call(rpc, row.request(OWNED), OTHER)
    nobodys = stocked.call(rpc, row.request(ABSENT), OTHER)
    assert not row.there(theirs.messages[0])
    for answer in (theirs, nobodys):
        for found in answer.messages:
            for one in [found, *getattr(found, "results", [])]:
                if "doc_id" in one.DESCRIPTOR.fields_by_name:
                    one.doc_id = 0
    assert plain(theirs) == plain(nobodys)
    own = stocked.call(rpc, row.request(OWNED), OWN)
    assert row.there(own.messages[0]), "the owner does not find it either, so the rest proves nothing"


@pytest.mark.parametrize("rpc", [*WRITES, "UpdateMetadata", "Delete", "BatchDelete"])
def test_what_one_tenant_writes_changes_nothing_of_another(stocked: Tenants, rpc: str) -> None:
    before = [plain(stocked.call("Query", DATA["Query"].request(i), OWN)) for i in (SHARED, OWNED)]
    requests: dict[str, Sequence[Message]] = {
        "Insert": [put(SHARED, id="9")],
        "BulkInsert": [put(SHARED, id="9"), put(OWNED, id="9")],
        "BulkLoadHnsw": [put(SHARED, id="9"), put(OWNED, id="9")],
        "BatchInsert": [pb.BatchInsertRequest(documents=[put(SHARED, id="9"), put(OWNED, id="9")])],
        "UpdateMetadata": [pb.UpdateMetadataRequest(doc_id=SHARED, metadata={"id": "9"})],
        "Delete": [pb.DeleteRequest(doc_id=SHARED)],
        "BatchDelete": [pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=[SHARED, OWNED]))],
    }
    assert stocked.call(rpc, requests[rpc], OTHER).code == "OK"
    assert [plain(stocked.call("Query", DATA["Query"].request(i), OWN)) for i in (SHARED, OWNED)] == before
    stocked.call("BatchDelete", [pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=[OWNED]))], OTHER)


@pytest.mark.parametrize("name", ["__tenant_id__", "__tenant_idx__", "__namespace__"])
def test_no_reserved_entry_opens_another_tenant(stocked: Tenants, name: str) -> None:
    claim = {"__tenant_id__": "acme", "__tenant_idx__": "1", "__namespace__": "x", "id": "7"}
    assert stocked.call("Insert", [put(7, **claim)], OTHER).code == "OK"
    (own,) = stocked.call("Query", [pb.QueryRequest(doc_id=7)], OWN).messages
    (other,) = stocked.call("Query", [pb.QueryRequest(doc_id=7)], OTHER).messages
    assert (own.found, other.found) == (False, True)  # type: ignore[attr-defined]
    assert dict(other.metadata) == {"id": "7"}  # type: ignore[attr-defined]
    claimed = pb.MetadataFilter(exact=pb.ExactMatch(key=name, value=claim[name]))
    anything = pb.MetadataFilter(not_filter=pb.NotFilter(filter=claimed))
    for filter_ in (claimed, anything, pb.MetadataFilter(or_filter=pb.OrFilter(filters=[claimed, anything]))):
        (found,) = stocked.call("Search", [search(filter=filter_)], OTHER).messages
        assert {row.metadata.get("owner", "glob") for row in found.results} <= {"glob"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_no_id_reaches_the_documents_of_another_tenant(stocked: Tenants, number: int) -> None:
    """Not even one that is made of a tenant's number and an id, as stored ids once were."""
    doc_id = number << 32 | SHARED
    if number:
        (found,) = stocked.call("Query", [pb.QueryRequest(doc_id=doc_id)], OTHER).messages
        assert not found.found  # type: ignore[attr-defined]
        (gone,) = stocked.call("Delete", [pb.DeleteRequest(doc_id=doc_id)], OTHER).messages
        assert not gone.existed  # type: ignore[attr-defined]
        ids = pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=[doc_id]))
        (batch,) = stocked.call("BatchDelete", [ids], OTHER).messages
        assert batch.deleted_count == 0  # type: ignore[attr-defined]
        update = pb.UpdateMetadataRequest(doc_id=doc_id, metadata={"owner": "nobody"})
        (updated,) = stocked.call("UpdateMetadata", [update], OTHER).messages
        assert not updated.existed  # type: ignore[attr-defined]
    (own,) = stocked.call("Query", [pb.QueryRequest(doc_id=SHARED)], OWN).messages
    assert own.found  # type: ignore[attr-defined]


@pytest.mark.parametrize("rpc", ["Insert", "BulkInsert", "BulkLoadHnsw"])
@pytest.mark.parametrize("doc_id", [2**32 - 1, 2**32, 2**33 + 7, 2**63, 2**64 - 1])
def test_every_id_of_64_bits_is_a_tenants_own(tenants: Tenants, rpc: str, doc_id: int) -> None:
    assert tenants.call(rpc, [put(doc_id)], OWN).code == "OK"
    (own,) = tenants.call("Query", [pb.QueryRequest(doc_id=doc_id)], OWN).messages
    (other,) = tenants.call("Query", [pb.QueryRequest(doc_id=doc_id)], OTHER).messages
    assert (own.doc_id, own.found, other.found) == (doc_id, True, False)  # type: ignore[attr-defined]
    (bulk,) = tenants.call("BulkQuery", [pb.BulkQueryRequest(doc_ids=[doc_id, 1])], OWN).messages
    assert bulk.results[0].doc_id == doc_id  # type: ignore[attr-defined]
    (answer,) = tenants.call("Search", [search()], OWN).messages
    assert doc_id in {row.doc_id for row in answer.results}  # type: ignore[attr-defined]
    (gone,) = tenants.call("Delete", [pb.DeleteRequest(doc_id=doc_id)], OWN).messages
    assert gone.existed  # type: ignore[attr-defined]


def test_a_tenant_is_not_told_the_plan_of_a_search(stocked: Tenants) -> None:
    (own,) = stocked.call("Search", [search()], OWN).messages
    (admins,) = stocked.call("Search", [search()], ADMIN).messages
    assert own.plan == ""  # type: ignore[attr-defined]
    assert admins.plan != ""  # type: ignore[attr-defined]


def test_an_answer_does_not_tell_a_tenant_how_much_others_store(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with shared_server(tmp_path_factory.mktemp("figures")) as tenants:
        assert tenants.call("BulkInsert", [put(at) for at in range(1, 31)], OWN).code == "OK"

        def figures() -> list[tuple[object, ...]]:
            told: list[tuple[object, ...]] = []
            for asked in (search(), search(ef_search=10), search(exact=True)):
                (answer,) = tenants.call("Search", [asked], OWN).messages
                known: Any = answer
                told.append((known.rows_examined, known.exact, known.plan, known.total_found, known.matched))
            return told

        alone = figures()
        assert alone == [(30, False, "", 10, 30)] * 2 + [(30, True, "", 10, 30)]
        more = [pb.InsertRequest(doc_id=at, embedding=[1.0, at, 1 / at, 3.0]) for at in range(1, 2501)]
        assert tenants.call("BulkInsert", more, OTHER).code == "OK"
        assert figures() == alone
        assert tenants.call("FlushHotTier", [pb.FlushRequest(force=True)], ADMIN).code == "OK"
        assert figures() == alone


def test_the_standard_services_answer_without_a_key_and_tell_nothing_of_tenants(tenants: Tenants) -> None:
    health = health_pb2_grpc.HealthStub(tenants.server.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(tenants.server.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = reflection.ServerReflectionInfo(iter([request]), timeout=PATIENCE_S)
    names = {service.name for service in answer.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_no_secret_is_anywhere(stocked: Tenants) -> None:
    """Runs last of this module, so on everything the tests before it left behind."""
    shown = [stocked.server.log, stocked.http("/metrics").text, stocked.http("/health").text]
    shown += [stocked.http("/usage?scope=all", ADMIN).text]
    data = stocked.keys.parent / "data"
    files = [path for path in data.rglob("*") if path.is_file()]
    assert files
    for text in shown:
        assert CANARY not in text
    for path in files:
        assert CANARY.encode() not in path.read_bytes(), path
