"""Directories and backups of the version before documents could expire open, serve, restore, and are written on."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.compatibility.test_format_2 import manifest_format

import pykyro
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.restore import restore
from pykyro.backup.target.locate import open_target
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.verify import verify_directory
from pykyro.system.clock import SystemClock

SAVED = Path(__file__).parent / "format_3"
DISK = LocalFileSystem()
Documents = dict[int, dict[str, Any]]


def values(number: int, **changes: Any) -> dict[str, Any]:
    """The metadata of a document as it was inserted, and what merges made of it."""
    written = {
        "number": number,
        "share": number / 8,
        "even": number % 2 == 0,
        "nothing": None,
        "seen": datetime(2024, 1, 1 + number, 12, tzinfo=UTC),
        "tags": ["a", number],
        "inner": {"deep": {"n": number}},
        "text": f"text {number}",
    }
    return written | changes


IN_BACKUP: Documents = {number: values(number) for number in (4, 5, 7, 8, 9)} | {
    1: values(1) | {"number": 100, "more": [1.5]},
    2: values(2, added=7),
    6: values(6, late=True),
}
IN_DIRECTORY: Documents = IN_BACKUP | {7: values(7, later="x")}


def require(db: pykyro.Database, wanted: Documents) -> None:
    """All of them are there, with their types, whichever way one asks."""
    pages = {document.id: dict(document.metadata) for document in db.documents(include_vectors=True)}
    assert pages == wanted
    for doc_id, metadata in wanted.items():
        found = db.get(doc_id)
        assert found is not None
        assert found.vector is not None
        assert (dict(found.metadata), found.vector.tolist()) == (metadata, [doc_id, 1, 2, 3])
        assert found.expires_at is None
    assert db.count(filter={"share": {"$gte": 0.75}}) == 4
    assert db.count(namespace="odd") == 2
    hits = db.search([1, 1, 2, 3], k=10, filter={"inner.deep.n": {"$lte": 5}})
    assert sorted(hits.ids.tolist()) == [1, 2, 4, 5]
    assert next(iter(db.scroll(order_by="number", descending=True))).id == 1


def test_a_directory_opens_keeps_its_format_and_takes_what_is_new(tmp_path: Path) -> None:
    place = tmp_path / "data"
    shutil.copytree(SAVED / "data", place)
    assert not verify_directory(DISK, place).damage
    with pykyro.open(place, dimension=4) as db:
        require(db, IN_DIRECTORY)
        stored = db.get(5)
        assert stored is not None
        with pytest.raises(pykyro.Aborted):
            db.update(5, {"text": "changed"}, if_position=stored.position - 1)
        assert db.update(5, {"text": "changed"}, if_position=stored.position)
        db.flush()
    assert manifest_format(place) == b"3"
    wanted = IN_DIRECTORY | {5: values(5, text="changed")}
    with pykyro.open(place, dimension=4) as db:
        require(db, wanted)
        db.insert(10, [10, 1, 2, 3], {"short": True}, ttl=3600)
        assert db.delete(10)
    assert manifest_format(place) == b"4"
    with pykyro.open(place, dimension=4) as db:
        require(db, wanted)


def test_a_backup_restores(tmp_path: Path) -> None:
    shutil.copytree(SAVED / "backups", tmp_path / "backups")
    target = open_target(str(tmp_path / "backups"))
    catalog = read_catalog(target)
    (entry,) = catalog.entries
    place = tmp_path / "data"
    restore(DISK, place, Store(target), plan_backup(catalog, entry.id), SystemClock(), allow_clear=False)
    with pykyro.open(place, dimension=4) as db:
        require(db, IN_BACKUP)
