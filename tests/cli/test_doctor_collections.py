"""kyrodb doctor looks at every collection of the directory."""

from __future__ import annotations

from pathlib import Path

import pykyro
from pykyro.cli.diagnosis.collections import check_collections
from pykyro.cli.diagnosis.directory import check_directory
from pykyro.cli.diagnosis.finding import Severity
from pykyro.storage import filename


def database(path: Path) -> Path:
    with pykyro.open(path, dimension=4) as db:
        for name in ("one", "two"):
            db.create_collection(name, 2).insert(1, [1, 2])
            db.collection(name).flush()
    return path


def test_sound_collections_are_counted(tmp_path: Path) -> None:
    data = database(tmp_path / "data")
    for deep in (False, True):
        (found,) = check_collections(data, deep=deep)
        assert (found.severity, found.text[:13]) == (Severity.OK, "2 collections")
    assert all(one.severity is Severity.OK for one in check_directory(data, None, deep=False))


def test_damage_names_the_collection_and_the_way_out(tmp_path: Path) -> None:
    data = database(tmp_path / "data")
    (rows,) = (data / filename.COLLECTIONS / "2").glob("*.rows")
    rows.write_bytes(rows.read_bytes()[:-10])
    wrong, sound = check_collections(data, deep=True)
    assert wrong.severity is Severity.WRONG
    assert wrong.text.startswith("collection two: ")
    assert "--collection" in wrong.advice
    assert sound.text.startswith("1 collections")
    (data / filename.COLLECTIONS / "1" / filename.MANIFEST).unlink()
    assert "is missing" in next(check_collections(data, deep=False)).text


def test_a_directory_without_a_collection_is_noted(tmp_path: Path) -> None:
    data = database(tmp_path / "data")
    (data / filename.COLLECTIONS / "7").mkdir()
    noted = list(check_collections(data, deep=False))[-1]
    assert noted.severity is Severity.NOTE
    assert "belong to no collection (7)" in noted.text


def test_nothing_is_said_without_collections(tmp_path: Path) -> None:
    pykyro.open(tmp_path / "data", dimension=4).close()
    assert list(check_collections(tmp_path / "data", deep=True)) == []
