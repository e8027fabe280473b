"""Words through the commands: exports, imports, backups and new collections keep them, and every score."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.cli.test_collections import told

import pykyro
from pykyro.cli import kyrodb_backup
from pykyro.model.words import WordsConfig

CONFIG = WordsConfig(("title", "body"), "english", 1.5, 0.4, stop_words=True)
TEXTS = ["red foxes", "the brown fox, the dog", "dogs", "fox fox"]


def scores(directory: Path, collection: str = "default") -> list[tuple[int, float]]:
    with pykyro.open(directory) as db:
        found = db.collection(collection).search(text="+foxes red")
        return [(hit.id, hit.score) for hit in found]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    text = {"keys": ["title", "body"], "language": "english", "k1": 1.5, "b": 0.4, "stop_words": True}
    with pykyro.open(tmp_path / "data", dimension=2, text=text) as db:
        notes = db.create_collection("notes", 2, text=text)
        for at, body in enumerate(TEXTS, start=1):
            db.insert(at, [at, 1], {"body": body})
            notes.insert(at, [at, 1], {"body": body})
            if at == 2:
                db.flush()
    return tmp_path / "data"


def test_an_export_and_an_import_keep_them(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, other = directory.parent / "export", directory.parent / "other"
    told(capsys, "export", "--data-dir", directory, "--out", out, "--format", "jsonl")
    assert json.loads((out / "EXPORT.json").read_text())["words"]["language"] == "english"
    told(capsys, "import", "--in", out, "--data-dir", other)
    before = scores(directory)
    assert [doc_id for doc_id, _ in before] == [1, 4, 2]
    assert scores(other) == before == scores(directory, "notes")
    with pykyro.open(other) as db:
        assert db.describe_collection("default").config.words == CONFIG


def test_an_import_may_say_others(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, other = directory.parent / "export", directory.parent / "other"
    told(capsys, "export", "--data-dir", directory, "--out", out, "--format", "jsonl")
    told(capsys, "import", "--in", out, "--data-dir", other, "--text-key", "body")
    with pykyro.open(other) as db:
        assert db.describe_collection("default").config.words == WordsConfig(("body",))
        assert db.search(text="foxes").ids.tolist() == [1]
    shown = told(capsys, "import", "--in", out, "--data-dir", other, "--text-key", "title", code=1)
    assert "created with text keys body" in shown
    shown = told(capsys, "import", "--in", out, "--data-dir", other, "--text-language", "english", code=1)
    assert "needs --text-key" in shown


def test_a_backup_keeps_them(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backups, other = directory.parent / "backups", directory.parent / "other"
    place = ["--backup-dir", str(backups), "--data-dir"]
    before = scores(directory), scores(directory, "notes")
    assert kyrodb_backup.main([*place, str(directory), "create"]) == 0
    made = re.search(r"Backup ID: (\S+)", capsys.readouterr().out)
    assert made is not None
    assert kyrodb_backup.main([*place, str(other), "restore", "--backup-id", made[1]]) == 0
    assert (scores(other), scores(other, "notes")) == before
    assert "Nothing has to be done" in told(capsys, "doctor", "--data-dir", other)


def test_a_collection_is_created_with_them(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "collections", "create", "--data-dir", directory, "more", "--dimension", 2,
         "--text-key", "a", "--text-key", "b", "--text-language", "german")  # fmt: skip
    described = json.loads(told(capsys, "collections", "describe", "--data-dir", directory, "more"))
    assert (described["config"]["words"]["keys"], described["config"]["words"]["language"]) == (
        ["a", "b"],
        "german",
    )
