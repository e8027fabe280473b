"""kyrodb collections, and export and import of one, on a directory and on a server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tests.server.running import running_server

import pykyro
from pykyro.cli.kyrodb import main


def told(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main([str(argument) for argument in arguments]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with pykyro.open(tmp_path / "data", dimension=4) as db:
        db.insert(1, [1, 2, 3, 4])
    return tmp_path / "data"


def test_the_life_of_a_collection(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--data-dir", directory)
    told(capsys, "collections", "create", *place, "texts", "--dimension", 3, "--distance", "euclidean")
    assert "'texts' is taken" in told(
        capsys, "collections", "create", *place, "texts", "--dimension", 3, code=1
    )
    told(capsys, "collections", "alias", *place, "live", "texts")
    told(capsys, "collections", "rename", *place, "texts", "words")
    described = json.loads(told(capsys, "collections", "describe", *place, "live"))
    assert (described["name"], described["aliases"], described["documents"]) == ("words", ["live"], 0)
    assert described["config"]["metric"] == "euclidean"
    lines = told(capsys, "collections", "list", *place).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["default", "4", "cosine"],
        ["words", "3", "euclidean"],
    ]
    assert json.loads(told(capsys, "collections", "list", *place, "--format", "json"))[1]["name"] == "words"
    assert "is removed" in told(capsys, "collections", "alias", *place, "live", "--remove")
    assert "nearest name is 'words'" in told(capsys, "collections", "drop", *place, "word", "--yes", code=1)
    told(capsys, "collections", "drop", *place, "words", "--yes")
    assert "words" not in told(capsys, "collections", "list", *place)


def test_compacting_a_collection_of_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(tmp_path, hnsw__dimension=4) as server:
        place = ("--url", f"127.0.0.1:{server.port}")
        with pykyro.Client(f"127.0.0.1:{server.port}") as client:
            for doc_id in range(1, 11):
                client.insert(doc_id, [doc_id, 2, 3, 4])
            client.delete_many(range(1, 8))
            shown = told(capsys, "collections", "compact", *place, "default")
            assert shown.startswith("default: 3 documents, ")
            assert " are now 1 of " in shown
            assert client.compact().segments == 1
        assert "nearest name" in told(capsys, "collections", "compact", *place, "defaul", code=1)


def test_dropping_asks(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("--data-dir", directory)
    told(capsys, "collections", "create", *place, "texts", "--dimension", 3)
    assert "give --yes" in told(capsys, "collections", "drop", *place, "texts", code=1)
    typed = io.StringIO("text\n")
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", typed)
    assert "nothing is dropped" in told(capsys, "collections", "drop", *place, "texts", code=1)
    typed = io.StringIO("texts\n")
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", typed)
    told(capsys, "collections", "drop", *place, "texts")


def test_a_directory_without_a_database_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no database" in told(capsys, "collections", "list", "--data-dir", tmp_path, code=1)
    assert not list(tmp_path.iterdir())


def test_a_collection_is_exported_and_imported(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pykyro.open(directory) as db:
        db.create_collection("texts", 3).insert_many(
            [(doc_id, [doc_id, 1, 2], {"n": str(doc_id)}) for doc_id in range(1, 21)]
        )
        db.create_collection("copy", 3)
    export = ("export", "--data-dir", directory, "--format", "jsonl", "--out")
    assert "Exported 20" in told(capsys, *export, tmp_path / "out", "--collection", "texts")
    assert "Exported 1 " in told(capsys, *export, tmp_path / "own")
    assert "'text' does not exist" in told(capsys, *export, tmp_path / "no", "--collection", "text", code=1)
    told(capsys, "import", "--in", tmp_path / "out", "--data-dir", directory, "--collection", "copy")
    with pykyro.open(directory) as db:
        assert db.collection("copy").count() == 20
        assert db.count() == 1
    (tmp_path / "server").mkdir()
    with running_server(tmp_path / "server", hnsw__dimension=4) as server:
        url = f"127.0.0.1:{server.port}"
        told(capsys, "collections", "create", "--url", url, "texts", "--dimension", 3)
        progress = ("--progress", tmp_path / "progress")
        told(capsys, "import", "--in", tmp_path / "out", "--url", url, "--collection", "texts", *progress)
        with pykyro.Client(url) as client:
            assert client.collection("texts").count() == 20
        told(capsys, "collections", "drop", "--url", url, "texts", "--yes")
        assert "texts" not in told(capsys, "collections", "list", "--url", url)
