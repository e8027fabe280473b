"""Collections brought over from Chroma. Without chromadb the rows come from pykyro.compat.chroma, which answers as it
does."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pykyro
import pykyro.compat.chroma as chromadb
from pykyro.cli.kyrodb import main
from pykyro.integrations.chroma.transfer import transfer
from pykyro.integrations.transfers.pages import Transferred

HAS_CHROMADB = importlib.util.find_spec("chromadb") is not None
ROWS = 2300


def filled(client: Any) -> Any:
    """A collection with every kind of value, more of it than one page."""
    rows = client.create_collection(
        "letters", metadata={"hnsw:space": "cosine", "k": 1}, embedding_function=None
    )
    kinds = [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}, {"tags": ["a", "b"]}, None]
    rows.add(
        ids=[f"row-{number}" for number in range(ROWS)],
        embeddings=[[number + 0.1, 1 / 3] for number in range(ROWS)],
        metadatas=[kinds[number % len(kinds)] for number in range(ROWS)],
        documents=[f"text {number}" if number % 3 else None for number in range(ROWS)],
    )
    return rows


@pytest.fixture
def source(tmp_path: Path) -> Iterator[chromadb.ClientAPI]:
    with chromadb.PersistentClient(tmp_path / "source") as client:
        filled(client)
        yield client


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[chromadb.ClientAPI]:
    with chromadb.PersistentClient(tmp_path / "destination") as client:
        yield client


def everything(rows: Any) -> str:
    return repr(sorted(rows.get(include=["embeddings", "metadatas", "documents"]).items(), key=str))


def test_all_rows_come_over_in_their_order(
    source: chromadb.ClientAPI, destination: chromadb.ClientAPI
) -> None:
    reached: list[tuple[int, int]] = []
    found = transfer(source, "letters", destination, on_rows=lambda *now: reached.append(now))
    assert found == Transferred("letters", written=ROWS)
    assert reached == [(1000, ROWS), (2000, ROWS), (ROWS, ROWS)]
    theirs, ours = source.get_collection("letters"), destination.get_collection("letters")
    assert everything(ours) == everything(theirs)
    assert ours.metadata == theirs.metadata
    assert ours.configuration["hnsw"]["space"] == "cosine"
    again = transfer(source, "letters", destination)
    assert again == Transferred("letters", there_already=ROWS)


def test_one_that_broke_off_goes_on(source: chromadb.ClientAPI, destination: chromadb.ClientAPI) -> None:
    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(source, "letters", destination, on_rows=break_off)
    ours = destination.get_collection("letters")
    assert ours.count() == 1000
    ours.update(ids=["row-0", "row-1"], metadatas=[{"n": 7}, {"n": 1}])  # the second had the float 1.0
    ours.add(ids=["own"], embeddings=[[1, 1]])
    found = transfer(source, "letters", destination)
    assert found == Transferred("letters", written=ROWS - 998, there_already=998, others=1)
    ours.delete(ids=["own"])
    assert ours.get("row-1")["metadatas"] == [{"n": 1.0}]
    assert ours.count() == ROWS


def test_another_distance_is_refused(source: chromadb.ClientAPI, destination: chromadb.ClientAPI) -> None:
    destination.create_collection("letters", metadata={"hnsw:space": "ip"})
    with pytest.raises(pykyro.FailedPrecondition, match="distance ip; the one to import has cosine"):
        transfer(source, "letters", destination)


def test_a_row_that_cannot_be_stored_is_named(tmp_path: Path, destination: chromadb.ClientAPI) -> None:
    with chromadb.PersistentClient(tmp_path / "zero") as client:
        rows = client.create_collection("zero")
        rows.add(ids=["a", "b", "c"], embeddings=[[1, 2], [0, 0], [2, 1]])
        destination.create_collection("zero", metadata={"hnsw:space": "cosine"})
        told: list[str] = []
        with pytest.raises(pykyro.FailedPrecondition, match="cosine"):
            transfer(client, "zero", destination)
        cosine = _AsCosine(client)
        with pytest.raises(
            pykyro.InvalidArgument, match="collection 'zero' row 'b': embedding of 'b' is zero"
        ):
            transfer(cosine, "zero", destination)
        found = transfer(cosine, "zero", destination, on_refused=told.append)
        assert (found.refused, len(told)) == (1, 1)
        assert destination.get_collection("zero").get()["ids"] == ["a", "c"]


class _AsCosine:
    """A client whose collections say that their distance is the cosine, as Chroma's do with a zero vector in them."""

    def __init__(self, client: chromadb.ClientAPI) -> None:
        self._client = client

    def get_collection(self, name: str, embedding_function: None) -> Any:
        rows = self._client.get_collection(name, embedding_function)
        rows._entry.hnsw["space"] = "cosine"
        return rows


def test_what_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = ("--data-dir", str(tmp_path / "new"))
    assert main(("import", "--from", "chroma", "--in", str(tmp_path), *into)) == 1
    assert "is no directory of Chroma: it has no chroma.sqlite3" in capsys.readouterr().err
    assert main(("import", "--from", "chroma", "--in", str(tmp_path), *into, "--dimension", "3")) == 1
    assert "--dimension has no effect with --from chroma" in capsys.readouterr().err
    (tmp_path / "chroma.sqlite3").touch()
    if not HAS_CHROMADB:
        assert main(("import", "--from", "chroma", "--in", str(tmp_path), *into)) == 1
        assert "pip install 'pykyro[compat]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not HAS_CHROMADB, reason="chromadb is not installed: pykyro[compat]")
def test_a_directory_of_chroma(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import chromadb as real
    from chromadb.config import Settings

    # The command opens it as well, and chromadb wants the same settings of all in one process.
    theirs = filled(real.PersistentClient(str(tmp_path / "theirs"), Settings(anonymized_telemetry=False)))
    words = (
        "import",
        "--from",
        "chroma",
        "--in",
        str(tmp_path / "theirs"),
        "--data-dir",
        str(tmp_path / "ours"),
    )
    for told in (f"{ROWS} rows, 0 were there", f"0 rows, {ROWS} were there"):
        assert main(words) == 0
        assert told in capsys.readouterr().out
    with chromadb.PersistentClient(tmp_path / "ours") as client:
        assert everything(client.get_collection("letters")) == everything(theirs)
