"""pykyro.compat.chroma answers what chromadb answers; tests/integrations/chroma_program.py says how that is known."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.tenants import ADMIN, ENTRIES, OTHER, OWN, shared_server
from tests.integrations import chroma_program
from tests.integrations.chroma_program import Lengths
from tests.server.running import running_server

import pykyro
import pykyro.compat.chroma as chromadb

PROGRAM = Path(chroma_program.__file__)
ANSWERS = json.loads(PROGRAM.with_name("chroma_answers.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield f"localhost:{server.port}"


def at(target: str) -> chromadb.ClientAPI:
    host, _, port = target.partition(":")
    return chromadb.HttpClient(host, int(port))


@pytest.mark.parametrize("place", ["directory", "server"])
def test_the_program_answers_as_with_chromadb(place: str, tmp_path: Path, target: str) -> None:
    with chromadb.PersistentClient(tmp_path) if place == "directory" else at(target) as client:
        answers = chroma_program.run(client, Lengths())
    assert answers == ANSWERS


@pytest.mark.skipif(
    importlib.util.find_spec("chromadb") is None, reason="chromadb is not installed: pykyro[compat]"
)
def test_chromadb_still_answers_so() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ANSWERS


def test_a_directory_is_there_after_it_was_closed(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path) as client:
        rows = client.create_collection("rows", metadata={"hnsw:space": "cosine", "hnsw:M": 8, "k": "v"})
        rows.add(ids=["2", "1"], embeddings=[[1, 2], [2, 1]], documents=["two", "one"])
        rows.modify(name="renamed")
        known = rows.id
    with chromadb.PersistentClient(tmp_path) as client:
        rows = client.get_collection("renamed")
        assert (rows.id, rows.metadata) == (known, {"hnsw:space": "cosine", "hnsw:M": 8, "k": "v"})
        assert rows.get()["documents"] == ["two", "one"]
        rows.add(ids=["0"], embeddings=[[0, 1]])
        assert rows.get()["ids"] == ["2", "1", "0"]
        with pytest.raises(chromadb.errors.NotFoundError):
            client.get_collection("rows")
        # The name that is free again leads to another collection, whose rows are elsewhere.
        other = client.create_collection("rows")
        other.add(ids=["9"], embeddings=[[1, 2, 3]])
        assert (rows.count(), other.count()) == (3, 1)
    with pykyro.open(tmp_path) as database:
        info = database.describe_collection("rows")
        assert (info.config.m, info.config.metric.value, info.documents) == (8, "cosine", 3)


def test_clients_of_one_directory_see_the_same(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path) as one, chromadb.PersistentClient(tmp_path) as other:
        one.create_collection("rows").add(ids=["1"], embeddings=[[1, 2]])
        assert other.get_collection("rows").count() == 1


def test_a_collection_that_another_client_fills_first(target: str) -> None:
    with at(target) as one, at(target) as other:
        here, there = one.create_collection("shared"), other.get_collection("shared")
        assert there.count() == 0
        here.add(ids=["1"], embeddings=[[1, 2]])
        there.add(ids=["2"], embeddings=[[2, 3]])
        assert here.get()["ids"] == there.get()["ids"] == ["1", "2"]
        with pytest.raises(chromadb.errors.InvalidArgumentError, match="dimension of 2, got 3"):
            there.add(ids=["3"], embeddings=[[1, 2, 3]])
        one.delete_collection("shared")
        with pytest.raises(chromadb.errors.NotFoundError):
            there.count()


def test_clients_that_begin_at_once_make_one_collection(target: str) -> None:
    begin = threading.Barrier(4)
    failures: list[BaseException] = []

    def fill(number: int) -> None:
        try:
            with at(target) as client:
                begin.wait()
                rows = client.get_or_create_collection("raced")
                rows.add(
                    ids=[f"{number}-{one}" for one in range(20)],
                    embeddings=[[number, one] for one in range(20)],
                )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with at(target) as client:
        assert client.get_collection("raced").count() == 80
        client.delete_collection("raced")
    with pykyro.Client(target) as database:
        assert not [info.name for info in database.collections() if info.name.startswith("raced")]


def test_a_collection_of_the_database_that_is_not_chromas_is_left_alone(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as database:
        database.create_collection("rows", 2).insert(1, [1.0, 2.0])
    with chromadb.PersistentClient(tmp_path) as client:
        assert client.list_collections() == []
        client.create_collection("rows").add(ids=["1"], embeddings=[[1, 2, 3]])
        client.delete_collection("rows")
    with pykyro.open(tmp_path) as database:
        assert database.collection("rows").count() == 1


def test_more_rows_than_one_page(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path) as client:
        rows = client.create_collection("rows")
        ids = [str(number) for number in range(2500)]
        rows.add(
            ids=ids,
            embeddings=[[number, 1] for number in range(2500)],
            metadatas=[{"n": n} for n in range(2500)],
        )
        assert rows.get()["ids"] == ids
        assert rows.get(limit=1200, offset=900)["ids"] == ids[900:2100]
        assert (
            rows.get(ids=ids[::-1], where={"n": {"$lt": 2400}}, limit=3, offset=2000)["ids"] == ids[2000:2003]
        )
        assert rows.delete(where={"n": {"$gte": 100}}, limit=2000) == {"deleted": 2000}
        assert rows.count() == 500


def test_any_name_will_do(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path) as client:
        for name in ("default", "a" * 512, "a" * 511 + "b"):
            client.create_collection(name).add(ids=[name[:512]], embeddings=[[1, 2]])
        assert [one.get()["ids"] for one in client.list_collections()] == [
            ["default"],
            ["a" * 512],
            ["a" * 511 + "b"],
        ]
        with pytest.raises(chromadb.errors.InvalidArgumentError, match=r"chroma\.collections"):
            client.create_collection("chroma.collections")
        with pytest.raises(chromadb.errors.InvalidArgumentError, match="key that is not text"):
            client.create_collection("rows", metadata={1: "a"})  # type: ignore[dict-item]


def test_numbers_are_not_texts(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path) as client:
        rows = client.create_collection("rows")
        rows.add(ids=["1", "2"], embeddings=[[1, 2], [2, 3]], metadatas=[{"year": "2020"}, {"year": 2020}])
        assert rows.get(where={"year": 2020})["ids"] == ["2"]
        assert rows.get(where={"year": {"$gt": 1}})["ids"] == ["2"]


def test_any_callable_embeds(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path) as client:
        rows = client.create_collection(
            "rows", embedding_function=lambda texts: [[len(one), 1] for one in texts]
        )
        rows.add(ids=["1", "2"], documents=["a", "bbb"])
        assert rows.query(query_texts="bb b", n_results=1)["ids"] == [["2"]]
        without = client.get_collection("rows")
        with pytest.raises(ValueError, match="must provide an embedding function"):
            without.add(ids=["3"], documents=["c"])
        short = client.get_collection("rows", embedding_function=lambda texts: [])
        with pytest.raises(ValueError, match="0 vectors for 1 texts"):
            short.add(ids=["3"], documents=["c"])
        assert rows.count() == 2


def test_ephemeral_clients_share_what_ends_with_the_process(tmp_path: Path) -> None:
    program = (
        "import pykyro.compat.chroma as chromadb, tempfile, os\n"
        "chromadb.Client().create_collection('rows').add(ids=['1'], embeddings=[[1, 2]])\n"
        "print(chromadb.EphemeralClient().get_collection('rows').count(), len(os.listdir(tempfile.gettempdir())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]
    assert list(tmp_path.iterdir()) == []


def test_settings(tmp_path: Path) -> None:
    settings = chromadb.Settings(
        is_persistent=True, persist_directory=str(tmp_path), allow_reset=True, anonymized_telemetry=False
    )
    with chromadb.Client(settings) as client:
        client.create_collection("rows").add(ids=["1"], embeddings=[[1, 2]])
        assert client.reset()
        assert client.count_collections() == 0
        assert client.heartbeat() > 0
        assert client.get_settings() is settings


def unsupported(client: Any, rows: Any) -> dict[str, Any]:
    return {
        "Collection.search": lambda: rows.search([]),
        "Collection.fork": lambda: rows.fork("other"),
        "attach_function": lambda: rows.attach_function(None, "a", "b"),
        r"add\(images": lambda: rows.add(ids=["1"], images=[1]),
        r"update\(images=…, uris": lambda: rows.update(ids=["1"], uris=["a"]),
        "query_images": lambda: rows.query(query_images=[1]),
        "include='data'": lambda: rows.get(include=["data"]),
        r"\$regex": lambda: rows.get(where_document={"$regex": "a"}),
        "configuration": lambda: rows.modify(configuration={"hnsw": {"ef_search": 5}}),
        "schema": lambda: client.create_collection("xyz", schema={}),
        "tenant 'a'": lambda: client.set_tenant("a"),
        "database 'b'": lambda: client.set_database("b"),
        "AsyncHttpClient": lambda: chromadb.AsyncHttpClient(),
        "CloudClient": lambda: chromadb.CloudClient(),
        "directory of Chroma": lambda: chromadb.PersistentClient(rows),
    }


@pytest.mark.parametrize("named", unsupported(None, None))
def test_what_is_not_here_says_so_and_names_the_way_out(named: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "chroma.sqlite3").touch()
    with chromadb.PersistentClient(tmp_path / "ours") as client:
        rows = client.create_collection("rows")
        given: Any = tmp_path / "theirs" if named == "directory of Chroma" else rows
        with pytest.raises(NotImplementedError, match=named):
            unsupported(client, given)[named]()


def test_a_key_comes_in_a_header(tmp_path: Path) -> None:
    with shared_server(tmp_path, *ENTRIES) as tenants:

        def client(**headers: str) -> chromadb.ClientAPI:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return chromadb.HttpClient("localhost", tenants.server.port, headers=named)

        with client(x_api_key=ADMIN) as admin, client(X_Chroma_Token=OWN) as own:
            with pytest.raises(pykyro.PermissionDenied):
                own.create_collection("rows")
            admin.create_collection("rows").add(ids=["1"], embeddings=[[1, 2]])
            own.get_collection("rows").add(ids=["2"], embeddings=[[2, 3]])
            assert admin.get_collection("rows").count() == 2
        with client(Authorization=f"Bearer {OTHER}") as other:
            assert other.list_collections() == []
        with client(x_api_key="wrong") as nobody, pytest.raises(pykyro.Unauthenticated):
            nobody.list_collections()
