"""Exports, imports and backups of collections whose ids are text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.migration.test_round_trip import FORMATS

import pykyro
from pykyro.backup.verify import check_recovery
from pykyro.cli.kyrodb import main
from pykyro.cli.kyrodb_backup import main as backup_main
from pykyro.storage.files.filesystem import LocalFileSystem

IDS = ["b", "a", "ä \n\"'", "7", "x" * 512]


def fill(store: Any) -> None:
    store.insert_many((own, [at + 1, 2, 3], {"n": at}) for at, own in enumerate(IDS))
    store.flush()
    store.delete("b")
    store.insert("late", np.ones(3), {"n": None}, namespace="n")


def content(store: Any) -> dict[str, tuple[list[float], dict[str, Any]]]:
    return {one.id: (one.vector.tolist(), one.metadata) for one in store.documents(include_vectors=True)}


@pytest.mark.parametrize("kind", FORMATS)
def test_texts_come_back_from_every_format(kind: str, tmp_path: Path) -> None:
    data, out, again = tmp_path / "data", tmp_path / "out", tmp_path / "again"
    with pykyro.open(data, dimension=3, id_type="text") as db:
        fill(db)
        expected = content(db)
    assert main(["export", "--data-dir", str(data), "--out", str(out), "--format", kind]) == 0
    assert main(["import", "--in", str(out), "--data-dir", str(again)]) == 0
    with pykyro.open(again) as db:
        assert content(db) == expected
        assert [one.id for one in db.documents(namespace="n")] == ["late"]


def test_an_import_into_integers_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a", "vector": [1, 2]}\n')
    pykyro.open(tmp_path / "data", dimension=2).close()
    assert main(["import", "--in", str(rows), "--data-dir", str(tmp_path / "data")]) != 0
    assert "row 1: doc_id must be an integer, got str 'a'" in capsys.readouterr().err
    new = ["--data-dir", str(tmp_path / "new"), "--dimension", "2", "--distance", "cosine"]
    assert main(["import", "--in", str(rows), *new, "--id-type", "text"]) == 0
    with pykyro.open(tmp_path / "new") as db:
        assert db.get("a") is not None


def test_the_command_creates_a_collection_and_backups_restore_it(tmp_path: Path) -> None:
    data, backups, again = tmp_path / "data", tmp_path / "backups", tmp_path / "again"
    pykyro.open(data, dimension=2).close()
    create = ["collections", "create", "--data-dir", str(data), "named", "--dimension", "3"]
    assert main([*create, "--id-type", "text"]) == 0
    with pykyro.open(data) as db:
        named = db.collection("named")
        assert named.describe().config.id_type == "text"
        with pytest.raises(pykyro.InvalidArgument, match="has ids of type text; asked for integer"):
            db.create_collection("named", 3, exist_ok=True)
        fill(named)
        expected = content(named)
    assert backup_main(["create", "--data-dir", str(data), "--backup-dir", str(backups)]) == 0
    archive = next(backups.glob("backup_*.tar")).name.removeprefix("backup_").removesuffix(".tar")
    restore = ["restore", "--data-dir", str(again), "--backup-dir", str(backups), "--backup-id", archive]
    assert backup_main(restore) == 0
    assert check_recovery(LocalFileSystem(), again / "collections" / "1").documents == len(expected)
    with pykyro.open(again) as db:
        assert content(db.collection("named")) == expected
        assert db.collection("named").delete_many(["a", "late"]) == 2
