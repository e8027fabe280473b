"""Backups hold all collections; one is restored alone, under another name too; what did not change is not copied."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pykyro
from pykyro.cli.kyrodb_backup import main


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    with pykyro.open(tmp_path / "data", dimension=4) as db:
        db.insert(1, [1, 2, 3, 4])
        fill(db.create_collection("texts", 3), range(1, 11))
        fill(db.create_collection("quiet", 2), range(1, 6))
        db.collection("quiet").flush()
        db.set_alias("live", "texts")
    return tmp_path / "data", tmp_path / "backups"


def fill(collection: Any, ids: range) -> None:
    dimension = collection.stats().dimension
    collection.insert_many([(doc_id, np.full(dimension, doc_id), {"n": doc_id}) for doc_id in ids])


def run(places: tuple[Path, Path], verb: str, *arguments: object, code: int = 0) -> None:
    data, backups = places
    needs_data = ["--data-dir", str(data)] if verb in ("create", "restore") else []
    words = [verb, *needs_data, "--backup-dir", str(backups), *map(str, arguments)]
    assert main(words) == code


def newest(backups: Path) -> str:
    archive = max(backups.glob("backup_*.tar"), key=lambda path: path.stat().st_mtime_ns)
    return archive.name.removeprefix("backup_").removesuffix(".tar")


def counts(directory: Path) -> dict[str, int]:
    with pykyro.open(directory) as db:
        names = [info.name for info in db.collections()]
        return {name: db.collection(name).count() for name in names}


def test_a_backup_holds_all_collections_and_their_names(places: tuple[Path, Path], tmp_path: Path) -> None:
    run(places, "create")
    backup_id = newest(places[1])
    with pykyro.open(places[0]) as db:
        db.drop_collection("texts")
        db.create_collection("later", 2)
    place = (tmp_path / "restored", places[1])
    run(place, "restore", "--backup-id", backup_id)
    assert counts(place[0]) == {"default": 1, "quiet": 5, "texts": 10}
    with pykyro.open(place[0]) as db:
        assert db.describe_collection("live").name == "texts"
        assert db.collection("live").search([1, 1, 1], k=3).ids.tolist() == [1, 2, 3]
        assert db.create_collection("new", 2).count() == 0


def test_what_did_not_change_is_not_copied_again(
    places: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(places, "create")
    capsys.readouterr()
    with pykyro.open(places[0]) as db:
        db.insert(2, [1, 1, 1, 1])
        fill(db.collection("texts"), range(11, 21))
        fill(db.create_collection("later", 2), range(1, 3))
    run(places, "create", "--incremental")
    assert "Collections: 3, 1 of them unchanged" in capsys.readouterr().out
    assert len(list((places[1] / "collections" / "2").glob("*.tar"))) == 1
    place = (tmp_path / "restored", places[1])
    run(place, "restore", "--backup-id", newest(places[1]))
    assert counts(place[0]) == {"default": 2, "later": 2, "quiet": 5, "texts": 20}


def test_one_collection_is_restored_beside_the_others_under_another_name(
    places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run(places, "create")
    own = newest(places[1] / "collections" / "1")
    with pykyro.open(places[0]) as db:
        db.collection("texts").clear()
        db.insert(5, [1, 1, 1, 1])
    wanted = ("restore", "--collection", "texts", "--backup-id", own)
    run(places, *wanted, code=1)
    assert "'texts' is taken" in capsys.readouterr().err
    run(places, *wanted, "--as", "rescued")
    assert counts(places[0]) == {"default": 2, "quiet": 5, "rescued": 10, "texts": 0}
    run(places, "restore", "--collection", "text", "--backup-id", own, code=1)
    assert "those that have: quiet, texts" in capsys.readouterr().err
    with pykyro.open(places[0]) as db:
        db.drop_collection("texts")
    run(places, *wanted)
    assert counts(places[0])["texts"] == 10


def test_a_collection_is_brought_to_an_instant(places: tuple[Path, Path], tmp_path: Path) -> None:
    run(places, "create")
    time.sleep(1.1)
    with pykyro.open(places[0]) as db:
        fill(db.collection("texts"), range(11, 21))
    instant = time.time()
    time.sleep(1.1)
    with pykyro.open(places[0]) as db:
        db.insert(2, [1, 1, 1, 1])
        db.collection("texts").clear()
    run(places, "create", "--incremental")
    run(places, "restore", "--collection", "texts", "--point-in-time", f"{instant:.6f}", "--as", "then")
    assert counts(places[0])["then"] == 20


def test_a_single_collection_is_backed_up_listed_and_verified(
    places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run(places, "create", "--collection", "texts")
    assert not list(places[1].glob("*.tar"))
    own = newest(places[1] / "collections" / "1")
    run(places, "list", "--collection", "texts", "--format", "json")
    assert own in capsys.readouterr().out
    run(places, "verify", own, "--collection", "texts", "--deep")
    assert "10 documents" in capsys.readouterr().out
    run(places, "create", "--collection", "missing", code=1)
    assert "no collection 'missing'" in capsys.readouterr().err


def test_pruning_goes_through_all_collections(places: tuple[Path, Path]) -> None:
    for _ in range(3):
        run(places, "create")
        time.sleep(1.1)
    keep = [f"--keep-{period}" for period in ("hourly", "daily", "weekly", "monthly")]
    run(places, "prune", *(word for name in keep for word in (name, 0)))
    assert len(list(places[1].glob("backup_*.tar"))) == 1
    assert len(list(places[1].glob("collections_*.json"))) == 1
    for number in (1, 2):
        assert len(list((places[1] / "collections" / str(number)).glob("*.tar"))) == 1


def test_a_backup_of_an_earlier_version_restores_without_collections(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data", dimension=4) as db:
        db.insert(1, [1, 2, 3, 4])
    places = (tmp_path / "data", tmp_path / "backups")
    run(places, "create")
    assert not list(places[1].glob("collections*"))
    place = (tmp_path / "restored", places[1])
    run(place, "restore", "--backup-id", newest(places[1]))
    assert counts(place[0]) == {"default": 1}
