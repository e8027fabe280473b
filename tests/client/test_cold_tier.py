"""A collection whose sealed documents are in PostgreSQL, by all three ways to a database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.client.stores import DIMENSION, Store, client_of
from tests.engine.remote.postgres import Postgres
from tests.server.running import RunningServer, running_server

import pykyro

ROWS = np.random.default_rng(5).standard_normal((300, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def cold_server(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, Path]]:
    services = postgres.fresh()
    path = tmp_path_factory.mktemp("server")
    with running_server(path, hnsw__dimension=DIMENSION, cold_tier__services_file=services) as server:
        yield server, services


@pytest.fixture(params=["embedded", "client", "async"])
def cold_store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    cold_server: tuple[RunningServer, Path],
    postgres: Postgres,
) -> Iterator[Store]:
    server, services = cold_server
    postgres.database = services.read_text().rpartition("dbname=")[2].strip()
    if request.param == "embedded":
        with pykyro.open(tmp_path / "data", dimension=DIMENSION, cold_tier_services=services) as database:
            yield database
        return
    with client_of(request.param, f"127.0.0.1:{server.port}") as client:
        yield client


def tables(postgres: Postgres) -> list[str]:
    if postgres.execute("SELECT to_regclass('kyrodb.collections')") == [(None,)]:
        return []
    return [name for (name,) in postgres.execute("SELECT id FROM kyrodb.collections ORDER BY id")]


def test_words_are_not_kept_of_what_is_sealed_elsewhere(cold_store: Store, tmp_path: Path) -> None:
    with pytest.raises(pykyro.InvalidArgument, match="cold_tier='local'"):
        cold_store.create_collection("both", DIMENSION, cold_tier="postgres", text="body")
    with pytest.raises(pykyro.InvalidArgument, match="text: words are kept in segments"):
        pykyro.open(tmp_path / "both", dimension=DIMENSION, cold_tier="postgres", text="body")


@pytest.mark.parametrize("cold_store", ["embedded", "client"], indirect=True)
def test_from_creating_to_dropping(cold_store: Store, postgres: Postgres) -> None:
    before = tables(postgres)
    cold_store.create_collection("here", DIMENSION)
    pictures = cold_store.create_collection("pictures", DIMENSION, cold_tier="postgres", id_type="text")
    assert cold_store.create_collection(
        "pictures", DIMENSION, cold_tier="postgres", id_type="text", exist_ok=True
    )
    with pytest.raises(pykyro.InvalidArgument, match="the cold tier of collection 'pictures' is postgres"):
        cold_store.create_collection("pictures", DIMENSION, id_type="text", exist_ok=True)
    assert cold_store.describe_collection("pictures").config.cold_tier == "postgres"
    assert cold_store.describe_collection("here").config.cold_tier == "local"
    for number, row in enumerate(ROWS):
        pictures.insert(f"picture {number}", row, {"n": number, "even": number % 2 == 0})
    pictures.flush()
    hits = pictures.search(ROWS[7], 5, filter={"even": False})
    assert hits[0].id == "picture 7"
    assert all(not hit.metadata["even"] for hit in hits)
    assert pictures.count(filter={"n": {"$gte": 290}}) == 10
    found = pictures.get("picture 8", include_vector=True)
    assert found is not None
    assert found.vector is not None
    assert found.vector.tolist() == ROWS[8].tolist()
    assert len(pictures.scroll().documents) == 300
    cold_store.rename_collection("pictures", "photographs")
    photographs = cold_store.collection("photographs")
    assert photographs.delete_many(filter={"even": True}) == 150
    assert photographs.update_metadata("picture 7", {"seen": True}, merge=True)
    photographs.flush()
    found = photographs.get("picture 7")
    assert found is not None
    assert found.metadata == {"n": 7, "even": False, "seen": True}
    (table,) = set(tables(postgres)) - set(before)
    assert postgres.execute(f"SELECT count(*) FROM kyrodb.documents_{table}") == [(150,)]
    cold_store.drop_collection("photographs")
    cold_store.drop_collection("here")
    assert tables(postgres) == before
    assert postgres.execute("SELECT to_regclass(%s)", [f"kyrodb.rows_{table}"]) == [(None,)]


def test_all_create_and_describe_it(cold_store: Store, postgres: Postgres) -> None:
    before = tables(postgres)
    cold_store.create_collection("pictures", DIMENSION, cold_tier="postgres:kyrodb")
    assert cold_store.describe_collection("pictures").config.cold_tier == "postgres"
    cold_store.drop_collection("pictures")
    assert tables(postgres) == before


def test_what_cannot_be_is_said_when_it_is_created(cold_store: Store) -> None:
    with pytest.raises(pykyro.FailedPrecondition, match=r"has no section \[elsewhere\]"):
        cold_store.create_collection("pictures", DIMENSION, cold_tier="postgres:elsewhere")
    for name in ("milvus", "postgres:", "postgres:a b", "postgres:" + "x" * 65):
        with pytest.raises(
            pykyro.InvalidArgument, match="cold_tier must be local, postgres or postgres:<service>"
        ):
            cold_store.create_collection("pictures", DIMENSION, cold_tier=name)
    assert "pictures" not in [info.name for info in cold_store.collections()]


def test_the_collection_default_of_an_embedded_database(tmp_path: Path, services: Path) -> None:
    with pykyro.open(
        tmp_path / "data", dimension=DIMENSION, cold_tier="postgres", cold_tier_services=services
    ) as database:
        database.insert_many(enumerate(ROWS[:50], 1))
        database.flush()
        assert database.search(ROWS[3], 1)[0].id == 4
        assert database.health().status == "healthy"
    with pykyro.open(tmp_path / "data", cold_tier_services=services) as database:
        assert database.search(ROWS[3], 1)[0].id == 4
        assert database.stats().documents == 50


def test_a_server_says_that_postgresql_is_away(tmp_path: Path, postgres: Postgres) -> None:
    settings = {"cold_tier__services_file": postgres.fresh(), "cold_tier__engine": "postgres"}
    with (
        running_server(tmp_path, hnsw__dimension=DIMENSION, **settings) as server,
        pykyro.Client(f"127.0.0.1:{server.port}", timeout_s=3) as client,
    ):
        client.insert_many(enumerate(ROWS[:50], 1))
        client.flush()
        assert client.search(ROWS[3], 1)[0].id == 4
        assert "kyrodb_cold_tier_away 0" in server.http("/metrics").text
        postgres.stop()
        with pytest.raises(pykyro.Unavailable, match="does not answer"):
            client.search(ROWS[4], 1, exact=True)
        health = server.http_json("/health")
        assert health["status"] == "degraded"
        assert "the cold tier is away" in str(health)
        assert "kyrodb_cold_tier_away 1" in server.http("/metrics").text
        postgres.start()


def test_a_collection_is_not_dropped_while_postgresql_is_away(tmp_path: Path, postgres: Postgres) -> None:
    services = postgres.fresh()
    with pykyro.open(tmp_path / "data", dimension=DIMENSION, cold_tier_services=services) as database:
        pictures = database.create_collection("pictures", DIMENSION, cold_tier="postgres")
        pictures.insert(1, ROWS[0])
        pictures.flush()
        postgres.stop()
        with pytest.raises(pykyro.Unavailable):
            database.drop_collection("pictures")
        with pytest.raises(pykyro.Unavailable):
            pictures.search(ROWS[0], 1, exact=True)
        assert "pictures" in database.health().components["collections"]
        pictures.insert(2, ROWS[1])
        postgres.start()
        assert pictures.stats().documents == 2
        database.drop_collection("pictures")
    assert tables(postgres) == []


@pytest.mark.parametrize("cold_store", ["embedded", "client"], indirect=True)
def test_a_collection_is_moved_there_and_back_while_it_is_used(cold_store: Store, postgres: Postgres) -> None:
    before = tables(postgres)
    pictures = cold_store.create_collection("moved", DIMENSION, id_type="text", default_ttl=timedelta(days=9))
    pictures.insert_many([(f"picture {number}", row, {"n": number}) for number, row in enumerate(ROWS)])
    pictures.flush()
    found = [(hit.id, hit.score) for hit in pictures.search(ROWS[7], 5, filter={"n": {"$lt": 100}})]
    report = cold_store.move_collection("moved", "postgres")
    assert isinstance(report, pykyro.MoveReport)
    assert (report.documents, report.copied) == (300, 300)
    assert report.compared
    assert cold_store.describe_collection("moved").config.cold_tier == "postgres"
    assert len(set(tables(postgres)) - set(before)) == 1
    pictures.update_metadata("picture 8", {"seen": True}, merge=True)
    pictures.flush()
    assert [(hit.id, hit.score) for hit in pictures.search(ROWS[7], 5, filter={"n": {"$lt": 100}})] == found
    assert pictures.delete("picture 9")
    assert cold_store.move_collection("moved", "local").documents == 299
    assert cold_store.describe_collection("moved").config.cold_tier == "local"
    assert tables(postgres) == before
    kept = pictures.get("picture 8")
    assert kept is not None
    assert kept.metadata == {"n": 8, "seen": True}
    with pytest.raises(pykyro.FailedPrecondition, match=r"has no section \[elsewhere\]"):
        cold_store.move_collection("moved", "postgres:elsewhere")
    with pytest.raises(pykyro.InvalidArgument, match="cold_tier must be local"):
        cold_store.move_collection("moved", "the moon")
    with pytest.raises(pykyro.NotFound):
        cold_store.move_collection("nowhere", "postgres")
    cold_store.drop_collection("moved")


def test_the_command_moves_a_collection_of_a_running_server(
    cold_server: tuple[RunningServer, Path], postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    from pykyro.cli.kyrodb import main

    server, _ = cold_server
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        client.insert_many(enumerate(ROWS, 1))
        words = ["move", "--url", f"127.0.0.1:{server.port}", "--to"]
        assert main([*words, "postgres"]) == 0
        assert capsys.readouterr().out.startswith("300 documents of default are in postgres: 300 copied")
        assert client.describe_collection("default").config.cold_tier == "postgres"
        assert client.search(ROWS[3], 1)[0].id == 4
        assert main([*words, "local"]) == 0
        assert client.search(ROWS[3], 1)[0].id == 4
    assert main([*words, "postgres:elsewhere"]) == 1
    assert "no section [elsewhere]" in capsys.readouterr().err
    assert main([*words, "postgres://user:secret@db.example.net/kyrodb"]) == 1
    said = capsys.readouterr().err
    assert "say --to postgres:name" in said
    assert "secret" not in said


def test_the_command_moves_a_collection_of_a_directory_and_rest_that_of_a_server(
    tmp_path: Path,
    postgres: Postgres,
    cold_server: tuple[RunningServer, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pykyro.cli.kyrodb import main

    server, services = cold_server
    postgres.database = services.read_text().rpartition("dbname=")[2].strip()
    with pykyro.open(tmp_path / "data", dimension=DIMENSION) as database:
        database.create_collection("c", DIMENSION).insert_many(enumerate(ROWS[:50], 1))
    words = ["move", "--data-dir", str(tmp_path / "data"), "--cold-tier-services", str(services)]
    assert main([*words, "--collection", "c", "--to", "postgres"]) == 0
    assert capsys.readouterr().out.startswith("50 documents of c are in postgres")
    with pykyro.open(tmp_path / "data", cold_tier_services=services) as database:
        assert database.collection("c").search(ROWS[3], 1)[0].id == 4
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        client.create_collection("over-rest", DIMENSION).insert_many(enumerate(ROWS[:50], 1))
        for cold_tier, status in (("postgres", 200), ("local", 200), ("moon", 400), ("postgres:other", 412)):
            answer = httpx.post(
                f"http://127.0.0.1:{server.http_port}/v1/collections/over-rest/move",
                json={"cold_tier": cold_tier},
                trust_env=False,
                timeout=60,
            )
            assert answer.status_code == status, answer.text
            if status == 200:
                assert (answer.json()["documents"], answer.json()["copied"]) == (50, 50)
                assert client.describe_collection("over-rest").config.cold_tier == cold_tier
