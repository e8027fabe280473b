"""Collections on a real server: each RPC that addresses documents takes one, streams agree on one, keys decide."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.contract.corner import DIMENSION
from tests.contract.tenants import ADMIN, OTHER, OWN, Tenants, shared_server
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry

import pykyro
from pykyro.proto import kyrodb_pb2 as pb

ONES = np.ones(DIMENSION, np.float32)
WIDE = 7


@pytest.fixture
def db(server: RunningServer) -> Iterator[pykyro.Client]:
    """A client whose collections are dropped afterwards."""
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        before = {info.name for info in client.collections()}
        yield client
        for info in client.collections():
            if info.name not in before:
                client.drop_collection(info.name)


def test_every_method_reaches_the_collection_and_no_other(db: pykyro.Client) -> None:
    wide = db.create_collection("wide", WIDE, "euclidean", ef_search=33)
    before = db.count()
    vector = np.arange(1, WIDE + 1, dtype=np.float32)
    wide.insert(1, vector, {"of": "wide"})
    assert (
        wide.insert_many([(doc_id, vector + doc_id) for doc_id in range(2, 30)], namespace="n").inserted == 28
    )
    assert wide.search(vector, k=1).ids.tolist() == [1]
    assert [answer.ids.tolist() for answer in wide.search_many([vector, vector + 2], k=1)] == [[1], [2]]
    assert wide.search(vector, k=100, filter={"of": "wide"}).ids.tolist() == [1]
    found = wide.get(1)
    assert found is not None
    assert (found.metadata, found.vector.tolist()) == ({"of": "wide"}, vector.tolist())  # type: ignore[union-attr]
    assert [document is None for document in wide.get_many([1, 99])] == [False, True]
    assert wide.update_metadata(1, {"a": 1}, merge=True)
    assert (wide.count(), wide.count(namespace="n"), db.count()) == (29, 28, before)
    assert [document.id for document in wide.documents()][:3] == [1, 2, 3]
    assert len(wide.sample(5)) == 5
    stats = wide.stats()
    assert (stats.documents, stats.dimension, stats.distance) == (29, WIDE, "euclidean")
    assert wide.flush().documents == 29
    assert "/collections/" in wide.snapshot().path
    assert wide.delete(1)
    assert wide.delete_many([2, 3]) == 2
    assert wide.clear() == 26
    info = wide.describe()
    assert (info.documents, info.config.ef_search, info.is_open) == (0, 33, True)
    assert db.get(1) is None or db.get(1) != found


def test_the_asynchronous_client_has_the_same(server: RunningServer) -> None:
    async def story() -> None:
        async with pykyro.AsyncClient(f"127.0.0.1:{server.port}") as db:
            texts = await db.create_collection("async", WIDE)
            await texts.insert(1, np.ones(WIDE))
            await db.set_alias("a", "async")
            assert (await db.collection("a").search(np.ones(WIDE))).ids.tolist() == [1]
            assert (await texts.describe()).aliases == ("a",)
            await db.rename_collection("async", "later")
            assert (await db.update_collection("a", ef_search=99)).config.ef_search == 99
            assert (await db.describe_collection("later")).documents == 1
            assert await db.remove_alias("a")
            with pytest.raises(pykyro.NotFound):
                await texts.count()
            await db.drop_collection("later")
            assert "later" not in {info.name for info in await db.collections()}

    asyncio.run(story())


def test_refusals_have_their_code_and_name_the_way_out(db: pykyro.Client) -> None:
    db.create_collection("texts", DIMENSION)
    with pytest.raises(pykyro.NotFound, match="'text' does not exist; the nearest name is 'texts'"):
        db.collection("text").search(ONES)
    with pytest.raises(pykyro.AlreadyExists, match="'texts' is taken"):
        db.create_collection("texts", DIMENSION)
    db.create_collection("texts", DIMENSION, exist_ok=True)
    with pytest.raises(pykyro.InvalidArgument, match="has dimension 4"):
        db.create_collection("texts", WIDE, exist_ok=True)
    with pytest.raises(pykyro.InvalidArgument, match="cannot be dropped"):
        db.drop_collection("default")
    with pytest.raises(pykyro.InvalidArgument, match="dimension"):
        db.collection("texts").search(np.ones(WIDE))
    with pytest.raises(pykyro.InvalidArgument, match="dimension"):
        db.collection("texts").insert(1, np.ones(WIDE))
    with pytest.raises(pykyro.NotFound):
        db.drop_collection("other")


def test_all_messages_of_a_stream_name_the_same_collection(db: pykyro.Client, server: RunningServer) -> None:
    db.create_collection("one", DIMENSION)
    stub = server.stub

    def document(doc_id: int, collection: str) -> pb.InsertRequest:
        return pb.InsertRequest(doc_id=doc_id, embedding=ONES, collection=collection)

    for first, then in (("one", ""), ("", "one"), ("one", "default")):
        with pytest.raises(grpc.RpcError) as refused:
            stub.BulkInsert(iter([document(900_001, first), document(900_002, then)]))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "same collection" in str(refused.value.details())
    searches = [pb.SearchRequest(query_embedding=ONES, k=1, collection=name) for name in ("one", "")]
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.BulkSearch(iter(searches)))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stub.BulkLoadHnsw(iter([document(5, "one"), document(6, "one")])).total_loaded == 2
    assert db.collection("one").count() == 3, "the first of the stream that named it first was stored"
    assert db.get(900_002) is None
    db.delete(900_001)


def test_the_name_of_default_may_be_said(db: pykyro.Client, server: RunningServer) -> None:
    server.stub.Insert(pb.InsertRequest(doc_id=900_005, embedding=ONES, collection="default"))
    assert db.get(900_005) is not None
    assert db.collection("default").delete(900_005)


def test_bytes_of_a_vector_are_not_taken_for_the_name_of_a_collection(server: RunningServer) -> None:
    mark = np.frombuffer(
        b"\xf2\x06\x03one" + bytes([0x80, 0x3F]) + b"\xf2\x06\x00\x3f" + bytes(4), np.float32
    )
    assert len(mark) == DIMENSION
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        client.insert(900_006, mark)
        assert (
            900_006 in client.search(mark, k=1000).ids
        )  # others of this server may lie in the same direction
        assert client.insert_many([(900_006, mark)]).inserted == 1
        client.delete(900_006)


def test_searches_of_many_collections_share_the_queue(db: pykyro.Client) -> None:
    collections = [db.create_collection(f"c{number}", DIMENSION + number) for number in range(6)]
    for number, collection in enumerate(collections):
        collection.insert(number + 1, np.ones(DIMENSION + number))

    async def all_at_once(port: str) -> list[list[int]]:
        async with pykyro.AsyncClient(port) as client:
            answers = await asyncio.gather(
                *(
                    client.collection(f"c{number}").search(np.ones(DIMENSION + number))
                    for _ in range(30)
                    for number in range(6)
                )
            )
            return [answer.ids.tolist() for answer in answers]

    found = asyncio.run(all_at_once(db._connection.target.text))
    assert found == [[number + 1] for _ in range(30) for number in range(6)]


def test_collections_are_there_after_a_restart_and_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        with pykyro.Client(f"127.0.0.1:{server.port}") as client:
            client.create_collection("texts", WIDE).insert(1, np.ones(WIDE))
            client.set_alias("live", "texts")
        server.process.kill()
        server.process.wait()
    with (
        running_server(tmp_path, hnsw__dimension=DIMENSION) as again,
        pykyro.Client(f"127.0.0.1:{again.port}") as client,
    ):
        assert client.collection("live").search(np.ones(WIDE)).ids.tolist() == [1]


def test_tenants_have_their_own_documents_in_every_collection_and_admins_manage(tmp_path: Path) -> None:
    with shared_server(tmp_path) as tenants:
        own, other, admin = (client(tenants, key) for key in (OWN, OTHER, ADMIN))
        with pytest.raises(pykyro.PermissionDenied, match="CreateCollection needs the key of an admin"):
            own.create_collection("texts", DIMENSION)
        admin.create_collection("filler", DIMENSION)
        admin.create_collection("texts", DIMENSION)
        other.collection("texts").insert(1, ONES, {"whose": "other"})
        own.collection("texts").insert(1, ONES, {"whose": "own"})
        own.collection("texts").insert(2, ONES)
        for one, whose, ids in ((own, "own", [1, 2]), (other, "other", [1])):
            texts = one.collection("texts")
            assert texts.search(ONES).ids.tolist() == ids
            assert texts.count() == len(ids)
            found = texts.get(1)
            assert found is not None
            assert found.metadata == {"whose": whose}
            assert one.count() == 0
        assert [answer.ids.tolist() for answer in other.collection("texts").search_many([ONES])] == [[1]]
        assert own.collection("texts").insert_many([(3, ONES)]).inserted == 1
        assert other.collection("texts").delete_many([1, 2, 3]) == 1
        assert own.collection("texts").count() == 3
        info = own.describe_collection("texts")
        assert (info.documents, info.size_bytes) == (None, None), "the number is that of all tenants"
        assert admin.describe_collection("texts").documents == 3
        for call in (
            lambda: own.drop_collection("texts"),
            lambda: own.rename_collection("texts", "mine"),
            lambda: own.set_alias("mine", "texts"),
            lambda: own.update_collection("texts", ef_search=9),
        ):
            with pytest.raises(pykyro.PermissionDenied):
                call()
        for one in (own, other, admin):
            one.close()


def client(tenants: Tenants, key: str) -> pykyro.Client:
    return pykyro.Client(f"127.0.0.1:{tenants.server.port}", api_key=key)


def test_the_quota_of_a_tenant_counts_all_collections(tmp_path: Path) -> None:
    with shared_server(
        tmp_path,
        entry("acme", key=OWN, max_vectors=5),
        entry("acme", key=ADMIN, max_vectors=5, is_admin="true"),
    ) as tenants:
        own, admin = client(tenants, OWN), client(tenants, ADMIN)
        for name in ("one", "two"):
            admin.create_collection(name, DIMENSION)
        for doc_id, store in enumerate((own, own, own.collection("one"), own.collection("one")), 1):
            store.insert(doc_id, ONES)
        # What is in other collections is looked at once a second.
        wait_until(lambda: stored_until_refused(own.collection("two")) <= 1, "the quota counts all")
        own.collection("two").insert(50, ONES)
        with pytest.raises(pykyro.ResourceExhausted, match="tenant=acme limit=5"):
            own.collection("two").insert(51, ONES)
        own.collection("one").clear()
        wait_until(lambda: stored_until_refused(own) == 2, "what was cleared is room again")
        own.close()
        admin.close()


def stored_until_refused(store: pykyro.Client | pykyro.RemoteCollection) -> int:
    """How many documents more there is room for."""
    stored = 0
    with contextlib.suppress(pykyro.ResourceExhausted):
        for doc_id in range(100, 110):
            store.insert(doc_id, ONES)
            stored += 1
    store.delete_many(range(100, 110))
    return stored
