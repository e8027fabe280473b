"""Tables of the real databases brought over by `kyrodb import --from`."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import qdrant_client
from qdrant_client import models
from tests.engine.remote import postgres
from tests.server.running import RunningServer

import pykyro
from pykyro.cli.kyrodb import main
from pykyro.compat.qdrant import QdrantClient
from pykyro.integrations.transfers.lance import parquet_source
from pykyro.integrations.transfers.pages import Transferred
from pykyro.integrations.transfers.source import Source
from pykyro.integrations.transfers.transfer import transfer

ROWS = 2300
VECTORS = np.random.default_rng(1).standard_normal((ROWS, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "pages.parquet"
    table = {
        "id": [f"row-{number}" for number in range(ROWS)],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 4),
        "year": [number if number % 3 else None for number in range(ROWS)],
        "tags": [["a", str(number)] for number in range(ROWS)],
        "when": [datetime(2020, 1, 1, tzinfo=UTC)] * ROWS,
        "deep": [{"a": 1.0, "b": number % 2 == 0} for number in range(ROWS)],
    }
    pq.write_table(pa.table(table), path)
    return path


def test_all_rows_come_over_and_a_second_run_writes_none(parquet: Path, tmp_path: Path) -> None:
    reached: list[tuple[int, int]] = []

    def source() -> Source:
        return parquet_source(parquet, None, None)

    with pykyro.open(tmp_path, typed_values=True) as database:
        found = transfer(
            source(), database, "pages", distance="cosine", on_rows=lambda *now: reached.append(now)
        )
        assert found == Transferred("pages", written=ROWS)
        assert reached == [(1000, ROWS), (2000, ROWS), (ROWS, ROWS)]
        pages = database.collection("pages")
        one = pages.get("row-7")
        assert one is not None
        assert one.vector is not None
        assert one.vector.tobytes() == VECTORS[7].tobytes()
        assert one.metadata == {
            "year": 7,
            "tags": ["a", "7"],
            "when": datetime(2020, 1, 1, tzinfo=UTC),
            "deep": {"a": 1.0, "b": False},
        }
        assert "year" not in pages.documents(filter={"tags": "3"}).__next__().metadata
        pages.update_metadata("row-3", {"year": 3.0}, merge=True)
        pages.insert("own", VECTORS[0])
        assert transfer(source(), database, "pages") == Transferred(
            "pages", written=1, there_already=ROWS - 1, others=1
        )


def test_one_that_broke_off_goes_on(parquet: Path, tmp_path: Path) -> None:
    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pykyro.open(tmp_path, typed_values=True) as database:
        with pytest.raises(KeyboardInterrupt):
            transfer(parquet_source(parquet, None, None), database, "p", distance="cosine", on_rows=break_off)
        assert database.collection("p").count() == 1000
        found = transfer(parquet_source(parquet, None, None), database, "p", distance="cosine")
        assert found == Transferred("p", written=ROWS - 1000, there_already=1000)


def test_a_row_that_cannot_be_stored_is_named_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(
        pa.table({"id": [1, 0, 2], "vector": [[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], "n": [1, 2, 3]}), path
    )
    with pykyro.open(tmp_path / "data") as database:
        with pytest.raises(pykyro.InvalidArgument, match="row 0: "):
            transfer(parquet_source(path, None, None), database, "bad", distance="cosine")
        told: list[str] = []
        found = transfer(
            parquet_source(path, None, None), database, "bad", distance="cosine", on_refused=told.append
        )
        assert found == Transferred("bad", written=0, there_already=1, refused=2)
        assert ["row 0: " in told[0], "zero" in told[1]] == [True, True]


WRONG: list[tuple[list[str], str]] = [
    (["--distance", "cosine", "--id-column", "nothing"], "no id 'nothing'; it has id, year"),
    ([], "does not say which distance"),
    (["--distance", "cosine", "--into", "a b"], "A-Z a-z 0-9"),
    (["--collection", "a"], "--collection has no effect with --from parquet"),
    (["--namespace", "a"], "--namespace has no effect with --from parquet"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_wrong_is_named(
    options: list[str], said: str, parquet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("parquet", parquet, tmp_path, *options) == 1
    assert said in capsys.readouterr().err


def run(origin: str, place: object, directory: Path, *options: str) -> int:
    given = ["import", "--from", origin, "--in", str(place), "--data-dir", str(directory), *options]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the clients of other databases
        return main(given)


# --- the real ones ---


def fill_qdrant(directory: Path, names: tuple[str, ...] = ("",)) -> Any:
    client = qdrant_client.QdrantClient(path=str(directory))
    params = {name: models.VectorParams(size=4, distance=models.Distance.COSINE) for name in names}
    client.create_collection("pages", params.get("", params))
    points = [
        models.PointStruct(
            id=number if number % 2 else f"00000000-0000-4000-8000-{number:012}",
            vector=VECTORS[number].tolist()
            if names == ("",)
            else dict.fromkeys(names, VECTORS[number].tolist()),
            payload={"n": number, "deep": {"list": [1, None, {"a": 2.0}]}, "null": None},
        )
        for number in range(1200)
    ]
    client.upsert("pages", points)
    return client


def test_qdrant(tmp_path: Path) -> None:
    client = fill_qdrant(tmp_path / "theirs")
    records = client.scroll("pages", limit=2000, with_vectors=True)[0]
    client.close()
    assert run("qdrant", tmp_path / "theirs", tmp_path / "ours") == 0
    with QdrantClient(path=tmp_path / "ours") as own:
        found = own.scroll("pages", limit=2000, with_vectors=True)[0]
    assert len(found) == 1200
    assert [(one.id, one.payload) for one in found] == [(one.id, one.payload) for one in records]
    for here, there in zip(found, records, strict=True):
        assert here.vector == pytest.approx(there.vector, abs=1e-6)


def test_one_of_the_named_vectors_of_qdrant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_qdrant(tmp_path / "theirs", ("text", "image")).close()
    assert run("qdrant", tmp_path / "theirs", tmp_path / "ours") == 1
    assert "(text, image): name one by --vector-column" in capsys.readouterr().err
    assert run("qdrant", tmp_path / "theirs", tmp_path / "ours", "--vector-column", "image") == 0
    assert "1200 rows, 0 were there, 0 left out" in capsys.readouterr().out


def test_lancedb(tmp_path: Path, parquet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import lancedb

    lancedb.connect(tmp_path / "theirs").create_table("pages", pq.read_table(parquet))
    options = ["--collection", "pages", "--distance", "euclidean"]
    assert run("lancedb", tmp_path / "theirs", tmp_path / "ours", *options) == 0
    assert f"{ROWS} rows, 0 were there, 0 left out" in capsys.readouterr().out
    assert run("parquet", parquet, tmp_path / "ours", "--into", "pages") == 0
    assert f"0 rows, {ROWS} were there" in capsys.readouterr().out


def test_milvus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pymilvus import MilvusClient

    place = str(tmp_path / "theirs.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client: Any = MilvusClient(place)
        client.create_collection("pages", dimension=4, metric_type="IP")
        rows = [
            {"id": number, "vector": VECTORS[number].tolist(), "n": number, "deep": {"a": [1, "b"]}}
            for number in range(1, 1200)
        ]
        client.insert("pages", rows)
        client.close()
    assert run("milvus", place, tmp_path / "ours", "--collection", "pages") == 0
    with pykyro.open(tmp_path / "ours", typed_values=True) as database:
        assert database.describe_collection("pages").config.metric.value == "innerproduct"
        pages = database.collection("pages")
        assert pages.count() == 1199
        one = pages.get(1199)
        assert one is not None
        assert one.vector is not None
        assert (one.vector.tobytes(), one.metadata) == (
            VECTORS[1199].tobytes(),
            {"n": 1199, "deep": {"a": [1, "b"]}},
        )


@pytest.fixture(scope="module")
def server_of_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.started(tmp_path_factory.mktemp("postgres")) as running:
        yield running.conninfo("postgres")


def test_pgvector(
    server_of_postgres: str, tmp_path: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(server_of_postgres, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            'CREATE TABLE shop.pages (id bigint PRIMARY KEY, embedding vector(4), "a title" text, price numeric, '
            "at timestamptz, tags text[], meta jsonb)"
        )
        connection.execute("CREATE INDEX ON shop.pages USING hnsw (embedding vector_l2_ops)")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO shop.pages VALUES (%s, %s::vector, %s, 1.50, '2020-01-01T00:00:00Z', '{a,b}', %s)",
                [
                    (number, str(VECTORS[number].tolist()), f"page {number}", json.dumps({"n": number}))
                    for number in range(1, 1200)
                ],
            )
            cursor.execute("INSERT INTO shop.pages (id) VALUES (5000)")  # has no vector, so it is no row
    given = ["import", "--from", "pgvector", "--in", server_of_postgres, "--collection", "shop.pages"]
    assert main([*given, "--url", f"localhost:{server.port}"]) == 0
    assert "collection shop.pages of localhost" in capsys.readouterr().out
    with pykyro.Client(f"localhost:{server.port}") as client:
        pages = client.collection("shop.pages")
        assert (pages.count(), client.describe_collection("shop.pages").config.metric.value) == (
            1199,
            "euclidean",
        )
        one = pages.get(7)
        assert one is not None
        assert one.vector is not None
        assert one.vector.tobytes() == VECTORS[7].tobytes()
        assert one.metadata == {
            "a title": "page 7",
            "price": "1.5",
            "at": datetime(2020, 1, 1, tzinfo=UTC),
            "tags": ["a", "b"],
            "meta": {"n": 7},
        }
        client.drop_collection("shop.pages")
    assert main([*given[:4], "postgresql://localhost:1/none", *given[5:], "--data-dir", str(tmp_path)]) == 1
    assert "PostgreSQL: " in capsys.readouterr().err


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from pykyro.cli.kyrodb import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("package", "extra", "origin"),
    [
        ("qdrant_client", "import-qdrant", "qdrant"),
        ("psycopg", "postgres", "pgvector"),
        ("lancedb", "import-lancedb", "lancedb"),
        ("pymilvus", "import-milvus", "milvus"),
        ("pyarrow", "parquet", "parquet"),
    ],
)
def test_a_package_that_is_missing_is_named(package: str, extra: str, origin: str, tmp_path: Path) -> None:
    options = [] if origin in ("parquet", "qdrant") else ["--collection", "a"]
    given = ["import", "--from", origin, "--in", str(tmp_path), "--data-dir", str(tmp_path / "d"), *options]
    done = subprocess.run(
        [sys.executable, "-c", MISSING, package, *given], capture_output=True, text=True, check=False
    )
    assert (done.returncode, f"pip install 'pykyro[{extra}]'" in done.stderr) == (1, True), done.stderr
