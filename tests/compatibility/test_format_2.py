"""Directories and backups of the version before merges had a record open, serve, restore, and can be written on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.opening import settle

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.target.locate import open_target
from pykyro.backup.verify import check_recovery, verify_backup, verify_deep
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.requests import UpdateMetadata
from pykyro.model.types import Metric, Scope
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.verify import verify_directory
from pykyro.system.clock import SystemClock

SAVED = Path(__file__).parent / "format_2"
DISK = LocalFileSystem()
Contents = dict[tuple[int | None, int], tuple[dict[str, str], bytes]]
"""By number of the tenant and id: metadata, reserved entries included, and vector."""


def contents_of(rows: list[dict[str, Any]]) -> Contents:
    return {
        (row["tenant"], row["id"]): (row["metadata"], np.array(row["vector"], np.float32).tobytes())
        for row in rows
    }


EXPECTED = json.loads((SAVED / "expected.json").read_text())
DIRECTORIES = {name: contents_of(EXPECTED[name]) for name in ("tenants", "none")}
BACKUPS = {backup_id: contents_of(rows) for backup_id, rows in EXPECTED["backups"].items()}


def read(directory: Path) -> Contents:
    """What the reader without an engine finds."""
    return {
        (one.tenant, one.doc_id): (dict(one.metadata), one.vector.tobytes())
        for one in OfflineReader(DISK, directory).documents()
    }


def opened(directory: Path) -> Engine:
    options = EngineOptions(4, Metric.COSINE, background=False)
    return open_engine(directory, options, builder=InlineBuilder(DISK))


def require_served(engine: Engine, wanted: Contents) -> None:
    assert engine.stats().documents == len(wanted)
    for (tenant, doc_id), (metadata, vector) in wanted.items():
        found = engine.get(doc_id, Scope(tenant))
        assert found is not None
        public = {key: value for key, value in metadata.items() if not key.startswith("__")}
        assert (found.metadata, found.vector.tobytes()) == (public, vector)


def manifest_format(directory: Path) -> bytes:
    return (directory / "MANIFEST").read_bytes().split()[1]


@pytest.mark.parametrize(("name", "before"), [("tenants", b"2"), ("none", b"1")])
def test_a_directory_opens_keeps_its_format_until_a_merge_and_takes_one(
    name: str, before: bytes, tmp_path: Path
) -> None:
    wanted = DIRECTORIES[name]
    place = tmp_path / "data"
    shutil.copytree(SAVED / name, place)
    assert read(place) == wanted
    assert not verify_directory(DISK, place).damage
    engine = opened(place)
    require_served(engine, wanted)
    engine.write(UpdateMetadata(2, {"replaced": "yes"}, scope=Scope(None)))
    engine.flush()
    assert manifest_format(place) == before
    assert engine.write(UpdateMetadata(3, {"added": "yes"}, True)).existed == 1
    assert manifest_format(place) == b"3"
    reserved = {key: value for key, value in wanted[None, 2][0].items() if key.startswith("__")}
    wanted = wanted | {
        (None, 2): ({"replaced": "yes", **reserved}, wanted[None, 2][1]),
        (None, 3): (wanted[None, 3][0] | {"added": "yes"}, wanted[None, 3][1]),
    }
    require_served(engine, wanted)
    engine.close()
    assert read(place) == wanted
    engine = opened(place)
    require_served(engine, wanted)
    engine.flush()
    settle(engine)
    require_served(engine, wanted)
    engine.close()
    assert (read(place), manifest_format(place)) == (wanted, b"3")


def test_backups_are_verified_and_restored(tmp_path: Path) -> None:
    shutil.copytree(SAVED / "backups", tmp_path / "backups")
    target = open_target(str(tmp_path / "backups"))
    catalog = read_catalog(target)
    assert {entry.id for entry in catalog.entries} == BACKUPS.keys()
    for entry in catalog.entries:
        verify_backup(target, catalog, entry.id, SystemClock())
        verify_deep(DISK, tmp_path / "scratch", target, catalog, entry.id, SystemClock())
        place = tmp_path / entry.id
        restore(DISK, place, Store(target), plan_backup(catalog, entry.id), SystemClock(), allow_clear=False)
        assert read(place) == BACKUPS[entry.id]
        assert check_recovery(DISK, place).documents == len(BACKUPS[entry.id])
        engine = opened(place)
        require_served(engine, BACKUPS[entry.id])
        engine.close()


def test_an_incremental_backup_with_merges_restores_on_a_full_one_without(tmp_path: Path) -> None:
    place, target = tmp_path / "data", open_target(str(tmp_path / "new"))
    shutil.copytree(SAVED / "tenants", place)
    full = create_backup(DISK, place, target, SystemClock(), CreateOptions())
    engine = opened(place)
    engine.write(UpdateMetadata(2, {"added": "yes"}, True, Scope(1)))
    later = create_backup(DISK, place, target, SystemClock(), CreateOptions(incremental=True))
    engine.close()
    before = DIRECTORIES["tenants"]
    metadata, vector = before[1, 2]
    after = before | {(1, 2): (metadata | {"added": "yes"}, vector)}
    catalog = read_catalog(target)
    for backup_id, wanted, number in ((full.id, before, b"2"), (later.id, after, b"3")):
        verify_deep(DISK, tmp_path / "scratch", target, catalog, backup_id, SystemClock())
        restored = tmp_path / backup_id
        plan = plan_backup(catalog, backup_id)
        restore(DISK, restored, Store(target), plan, SystemClock(), allow_clear=False)
        assert (read(restored), manifest_format(restored)) == (wanted, number)
        engine = opened(restored)
        require_served(engine, wanted)
        engine.close()
