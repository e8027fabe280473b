"""Ids of text through the embedded database and both clients alike, and through a crash of the server."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.client.stores import DIMENSION, Store, client_of, random_vectors
from tests.server.running import RunningServer, running_server, start_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro
from pykyro.proto import kyrodb_pb2 as pb

ONES = np.ones(DIMENSION, np.float32)
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
IDS = ["b", "a", "ä", "with space", "x" * 512, str(UUID)]


@pytest.fixture(scope="module")
def text_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("texts"), hnsw__dimension=DIMENSION, collections__default_id_type="text"
    ) as running:
        yield running


@pytest.fixture(params=["embedded", "client", "async"])
def texts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store whose ids are text, with a document of each of IDS."""
    if request.param == "embedded":
        with pykyro.open(tmp_path / "data", dimension=DIMENSION, id_type="text") as database:
            fill(database)
            yield database
        return
    running: RunningServer = request.getfixturevalue("text_server")
    with client_of(request.param, f"127.0.0.1:{running.port}") as client:
        client.clear()
        fill(client)
        yield client


def fill(store: Store) -> None:
    rows = random_vectors(len(IDS))
    report = store.insert_many((own, row, {"of": own[:9]}) for own, row in zip(IDS, rows, strict=True))
    assert report == pykyro.InsertReport(len(IDS), [])


def test_documents_go_by_texts(texts: Store) -> None:
    rows = random_vectors(len(IDS))
    texts.insert(UUID, ONES, {"n": 1}, namespace="n")
    found = texts.get(UUID)
    assert found is not None
    assert (found.id, found.metadata) == (str(UUID), {"n": 1})
    assert texts.get("nothing") is None
    assert [None if one is None else one.id for one in texts.get_many(["ä", "?", UUID])] == [
        "ä",
        None,
        str(UUID),
    ]
    assert texts.search(rows[1], 1)[0].id == "a"
    bare = texts.search(rows[2], 1, include_metadata=False)[0]
    assert (bare.id, bare.metadata) == ("ä", {})
    assert [answer[0].id for answer in texts.search_many(rows[:2], 1)] == ["b", "a"]
    assert texts.search(rows[1], 3).ids.tolist()[0] == "a"
    assert texts.update_metadata("a", {"more": [1, None]}, merge=True)
    assert not texts.update_metadata("A", {})
    changed = texts.get("a", include_vector=False)
    assert changed is not None
    assert changed.metadata == {"of": "a", "more": [1, None]}
    listed = [one.id for one in texts.scroll(limit=100, include_metadata=False)]
    assert sorted(listed) == sorted(IDS)
    page, seen = texts.scroll(limit=2), list[str]()
    while True:
        seen += [one.id for one in page]
        if not page.next_page_token:
            break
        page = texts.scroll(limit=2, page_token=page.next_page_token)
    assert seen == listed
    assert {one.id for one in texts.sample(3)} <= set(IDS)
    assert texts.delete("b")
    assert not texts.delete("b")
    assert texts.delete_many(["ä", "b", UUID], namespace="n") == 1
    assert texts.delete_many(["ä", "b"]) == 1
    assert texts.delete_many(filter={"of": "a"}) == 1
    assert texts.stats().id_type == "text"
    assert texts.clear() == 2


def test_ties_are_in_the_order_of_texts(texts: Store) -> None:
    names = [f"{number:02d}" for number in np.random.default_rng(1).permutation(40).tolist()]
    texts.insert_many((name, ONES) for name in names)
    for _ in range(3):
        assert texts.search(ONES, 12).ids.tolist() == sorted(names)[:12]


def test_what_is_no_text_id_is_refused(texts: Store) -> None:
    with pytest.raises(
        pykyro.InvalidArgument, match=r"doc_id must be a text, got int 7: .*id_type='integer'"
    ):
        texts.insert(7, ONES)
    with pytest.raises(pykyro.InvalidArgument, match=r"doc_id must have 1 to 512 bytes in UTF-8, got 514"):
        texts.insert("ä" * 257, ONES)
    with pytest.raises(pykyro.InvalidArgument, match="1 to 512 bytes in UTF-8, got 0"):
        texts.get("")
    with pytest.raises(pykyro.InvalidArgument, match=r"s\[0\] must be a text, got int 1"):
        texts.get_many([1])
    report = texts.insert_many([("new", ONES), (3, ONES), ("", ONES)])
    assert (report.inserted, [refusal.id for refusal in report.refused]) == (1, [3, ""])
    assert texts.count() == len(IDS) + 1


def test_texts_go_into_tables_and_come_out(texts: Store) -> None:
    page = texts.scroll(include_vectors=True)
    assert page.to_arrow().column("id").to_pylist() == sorted(IDS)
    assert page.to_pandas()["id"].tolist() == sorted(IDS)
    found = texts.search(ONES, k=3)
    assert found.to_arrow().column("id").to_pylist() == found.to_pandas()["id"].tolist() == list(found.ids)
    for table in (page.to_arrow(), page.to_pandas()):
        texts.clear()
        assert texts.insert_many(table).inserted == len(IDS)
        assert [one.metadata for one in texts.get_many(IDS) if one] == [{"of": own[:9]} for own in IDS]


def test_a_sample_is_in_the_order_of_texts(texts: Store) -> None:
    for include in (True, False):
        assert [one.id for one in texts.sample(100, include_metadata=include)] == sorted(IDS)


def test_a_page_token_of_integers_is_refused(texts: Store) -> None:
    """It would be an empty page, and so the end of what there is."""
    with pytest.raises(pykyro.InvalidArgument, match="page_token is of a collection whose ids are integers"):
        texts.scroll(page_token="up:1")


def test_many_long_ids_are_asked_for_in_several_requests(texts: Store) -> None:
    """They are five megabytes together, and a message has four."""
    long = [f"{number:0512x}" for number in range(10_000)]
    assert texts.get_many([*long, "a"], include_vectors=False)[-1] is not None
    assert texts.delete_many([*long, "a"]) == 1


def test_integers_do_not_take_texts(store: Store) -> None:
    with pytest.raises(
        pykyro.InvalidArgument, match=r"doc_id must be an integer, got str 'a': .*id_type='text'"
    ):
        store.insert("a", ONES)
    with pytest.raises(pykyro.InvalidArgument, match="doc_id must be an integer"):
        store.get(UUID)
    with pytest.raises(pykyro.InvalidArgument, match=r"s\[0\] must be an integer, got str 'a'"):
        store.get_many(["a"])
    assert store.insert_many([(1, ONES), ("a", ONES)]).refused[0].id == "a"
    assert store.count() == 1
    with pytest.raises(pykyro.InvalidArgument, match="page_token is of a collection whose ids are text"):
        store.scroll(page_token="up:1:54e2da17:ta")


def test_on_the_wire_the_number_is_0_and_metadata_has_no_id(text_server: RunningServer) -> None:
    stub = text_server.stub
    stub.Insert(pb.InsertRequest(text_id="w", embedding=-ONES, metadata={"__id__": "forged", "k": "v"}))
    found = stub.Query(pb.QueryRequest(text_id="w"))
    assert (found.doc_id, found.text_id, found.metadata) == (0, "w", {"k": "v"})
    absent = stub.Query(pb.QueryRequest(text_id="forged"))
    assert (absent.found, absent.doc_id, absent.text_id) == (False, 0, "forged")
    hit = stub.Search(pb.SearchRequest(query_embedding=-ONES, k=1)).results[0]
    assert (hit.doc_id, hit.text_id) == (0, "w")
    several = stub.BulkQuery(pb.BulkQueryRequest(text_ids=["w", "?"])).results
    assert [(one.found, one.text_id) for one in several] == [(True, "w"), (False, "?")]


def test_what_was_acknowledged_is_there_after_the_server_was_killed(tmp_path: Path) -> None:
    settings = {
        "hnsw__dimension": DIMENSION,
        "collections__default_id_type": "text",
        "persistence__fsync_policy": "full",
    }
    server = start_server(tmp_path, settings)
    server.wait_ready()
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        client.create_collection("named", DIMENSION, id_type="text")
        for store in (client, client.collection("named")):
            store.insert_many((own, ONES) for own in IDS)
            store.delete_many(IDS[:2])
    server.stop(signal.SIGKILL)
    del settings["collections__default_id_type"]
    with (
        running_server(tmp_path, **settings) as again,
        pykyro.Client(f"127.0.0.1:{again.port}") as client,
    ):
        assert client.describe_collection("named").config.id_type == "text"
        for store in (client, client.collection("named")):
            assert sorted(one.id for one in store.documents()) == sorted(IDS[2:])
            assert store.get(UUID) is not None
            assert store.get("a") is None


def test_tenants_have_the_same_texts_and_their_quota_counts_them(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys.yaml", entry("acme", is_admin="true"), entry("tiny", max_vectors=2))
    with running_server(
        tmp_path,
        hnsw__dimension=DIMENSION,
        collections__default_id_type="text",
        auth__enabled="true",
        auth__api_keys_file=keys,
    ) as server:
        target = f"127.0.0.1:{server.port}"
        with (
            pykyro.Client(target, api_key=key_of("acme")) as acme,
            pykyro.Client(target, api_key=key_of("tiny")) as tiny,
        ):
            acme.insert_many((own, ONES, {"of": "acme"}) for own in IDS)
            for own in IDS[:2]:
                tiny.insert(own, -ONES, {"of": "tiny"})
            tiny.insert(IDS[0], -ONES, {"of": "tiny"})
            with pytest.raises(pykyro.ResourceExhausted, match="quota"):
                tiny.insert(IDS[2], ONES)
            assert tiny.delete_many(IDS) == 2
            assert tiny.search(ONES, 10).hits == []
            assert acme.count() == len(IDS)
            assert sorted(acme.search(ONES, 10).ids) == sorted(IDS)
