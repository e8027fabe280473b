"""Directories and backups of format 1 open, are verified, restored and exported for ever, and hold what they held."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
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
from pykyro.migration.directory_documents import (
    EVERYTHING,
    DirectoryDocuments,
    PortableDocument,
    Selection,
    stored_document,
)
from pykyro.migration.frozen_copy import copy_backup, copy_directory
from pykyro.model.requests import Delete, Put, SearchRequest
from pykyro.model.types import Metric, Scope
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.verify import verify_directory
from pykyro.system.clock import SystemClock

SAVED = Path(__file__).parent / "format_1"
TENANTS = {"zero": 0, "acme": 1, "globex": 2}
DISK = LocalFileSystem()


@dataclass(frozen=True)
class Stored:
    namespace: str
    metadata: dict[str, str]
    vector: bytes


Contents = dict[tuple[str, int], Stored]
"""By tenant, "" being none, and id."""


def contents_of(rows: list[dict[str, Any]]) -> Contents:
    return {
        (row["tenant"], row["id"]): Stored(
            row["namespace"], row["metadata"], np.array(row["vector"], np.float32).tobytes()
        )
        for row in rows
    }


EXPECTED = json.loads((SAVED / "expected.json").read_text())
DATA = contents_of(EXPECTED["data"])
BACKUPS = {backup_id: contents_of(rows) for backup_id, rows in EXPECTED["backups"].items()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(SAVED / "data", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    shutil.copytree(SAVED / "backups", tmp_path / "backups")
    return tmp_path / "backups"


def opened(directory: Path) -> Engine:
    options = EngineOptions(4, Metric.COSINE, background=False)
    return open_engine(directory, options, builder=InlineBuilder(DISK))


def served(engine: Engine) -> Contents:
    """Everything the engine serves: found by a search in the scope of each tenant, and looked up by its id."""
    found: Contents = {}
    tenants: dict[str, int | None] = {"": None, **TENANTS}
    for name, tenant in tenants.items():
        request = SearchRequest(np.ones(4, np.float32), 1000, scope=Scope(tenant), exact=True)
        answer = engine.search(request)
        assert answer.matched == len(answer.hits)
        for hit in answer.hits:
            document = engine.get(hit.doc_id, Scope(tenant))
            assert document is not None
            namespace = _namespace(engine, hit.doc_id, tenant)
            found[name, hit.doc_id] = Stored(namespace, document.metadata, document.vector.tobytes())
    return found


def _namespace(engine: Engine, doc_id: int, tenant: int | None) -> str:
    return next((n for n in ("red", "blue") if engine.get(doc_id, Scope(tenant, n)) is not None), "")


def portable(documents: Iterator[PortableDocument | None]) -> Contents:
    return {
        (one.tenant, int(one.doc_id)): Stored(one.namespace, dict(one.metadata), one.vector.tobytes())
        for one in documents
        if one is not None
    }


def manifest_format(directory: Path) -> bytes:
    return (directory / "MANIFEST").read_bytes().split()[1]


def test_the_fixture_has_what_can_go_wrong() -> None:
    owners = {tenant for tenant, _ in DATA}
    assert owners == {"", *TENANTS}
    there = {("", 2**32 + 900), ("globex", 901), ("", 2**32 + 5), ("zero", 5), ("", 30)}
    gone = {("acme", 900), ("", 2 * 2**32 + 901), ("acme", 5), ("", 5), ("zero", 30)}
    assert there <= DATA.keys()
    assert gone.isdisjoint(DATA)
    assert manifest_format(SAVED / "data") == b"1"


def test_a_directory_opens_and_serves_the_same_documents_to_the_same_tenants(data: Path) -> None:
    engine = opened(data)
    assert served(engine) == DATA
    assert engine.stats().documents == len(DATA)
    assert engine.tenant_documents() == {name: sum(tenant == name for tenant, _ in DATA) for name in TENANTS}
    engine.close()


def test_opened_again_sealed_and_merged_it_still_does(data: Path) -> None:
    for _ in range(2):
        engine = opened(data)
        assert served(engine) == DATA
        engine.flush()
        settle(engine)
        assert served(engine) == DATA
        engine.close()
    assert opened_elsewhere(data) == DATA


def opened_elsewhere(directory: Path) -> Contents:
    names: dict[int | None, str] = {None: ""} | {number: name for name, number in TENANTS.items()}
    return {
        (names[one.tenant], one.doc_id): Stored(
            one.metadata.get("__namespace__", ""),
            {key: value for key, value in one.metadata.items() if not key.startswith("__")},
            one.vector.tobytes(),
        )
        for one in OfflineReader(DISK, directory).documents()
    }


def test_the_reader_without_an_engine_finds_the_same(data: Path) -> None:
    assert opened_elsewhere(data) == DATA
    report = check_recovery(DISK, data)
    assert report.documents == len(DATA)
    assert not verify_directory(DISK, data).damage


def test_after_the_first_start_an_earlier_version_refuses_the_directory(data: Path) -> None:
    opened(data).close()
    assert manifest_format(data) == b"2"


def test_documents_that_shared_a_packed_id_can_now_both_be_there(data: Path) -> None:
    engine = opened(data)
    vector = np.array([1, 2, 3, 4], np.float32)
    expected = dict(DATA)

    def put(tenant: str, doc_id: int) -> None:
        document = PortableDocument(doc_id, vector, {"new": "yes"}, tenant=tenant)
        engine.write(Put(stored_document(document, TENANTS.get(tenant))))
        expected[tenant, doc_id] = Stored("", {"new": "yes"}, vector.tobytes())

    for tenant, number in TENANTS.items():
        for doc_id in (1, 5, 30, 900, 901, 2**32 - 1):
            put(tenant, doc_id)
            put("", number << 32 | doc_id)
        put(tenant, 2**64 - 1)
    assert served(engine) == expected
    engine.flush()
    settle(engine)
    assert served(engine) == expected
    assert engine.write(Delete(5, Scope(1))).existed == 1
    del expected["acme", 5]
    engine.close()
    engine = opened(data)
    assert served(engine) == expected
    engine.close()


def test_backups_are_verified_and_restored(backups: Path, tmp_path: Path) -> None:
    target = open_target(str(backups))
    catalog = read_catalog(target)
    assert {entry.id for entry in catalog.entries} == BACKUPS.keys()
    for entry in catalog.entries:
        verify_backup(target, catalog, entry.id, SystemClock())
        verify_deep(DISK, tmp_path / "scratch", target, catalog, entry.id, SystemClock())
        place = tmp_path / entry.id
        restore(DISK, place, Store(target), plan_backup(catalog, entry.id), SystemClock(), allow_clear=False)
        assert check_recovery(DISK, place).documents == entry.record.documents == len(BACKUPS[entry.id])
        assert opened_elsewhere(place) == BACKUPS[entry.id]
        engine = opened(place)
        assert served(engine) == BACKUPS[entry.id]
        engine.close()


def test_a_backup_of_such_a_directory_restores(data: Path, tmp_path: Path) -> None:
    target = open_target(str(tmp_path / "new"))
    full = create_backup(DISK, data, target, SystemClock(), CreateOptions())
    assert full.record.documents == len(DATA)
    engine = opened(data)
    vector = np.array([4, 3, 2, 1], np.float32)
    engine.write(Put(stored_document(PortableDocument(900, vector, {}, tenant="acme"), 1)))
    engine.write(Delete(54, Scope(1)))
    expected = DATA | {("acme", 900): Stored("", {}, vector.tobytes())}
    del expected["acme", 54]
    entry = create_backup(DISK, data, target, SystemClock(), CreateOptions(incremental=True))
    engine.close()
    assert entry.record.documents == len(expected)
    catalog = read_catalog(target)
    for backup_id, wanted in ((full.id, DATA), (entry.id, expected)):
        place = tmp_path / backup_id
        restore(DISK, place, Store(target), plan_backup(catalog, backup_id), SystemClock(), allow_clear=False)
        assert opened_elsewhere(place) == wanted


def test_directories_and_backups_are_exported(data: Path, backups: Path, tmp_path: Path) -> None:
    copy_directory(DISK, data, tmp_path / "still")
    assert portable(DirectoryDocuments(DISK, tmp_path / "still", EVERYTHING).each()) == DATA
    acme = DirectoryDocuments(DISK, tmp_path / "still", Selection("acme", "red"))
    assert portable(acme.each()) == {
        ("", doc_id): stored
        for (tenant, doc_id), stored in DATA.items()
        if tenant == "acme" and stored.namespace == "red"
    }
    for backup_id, wanted in BACKUPS.items():
        place = tmp_path / f"of {backup_id}"
        copy_backup(DISK, open_target(str(backups)), backup_id, place, SystemClock())
        assert portable(DirectoryDocuments(DISK, place, EVERYTHING).each()) == wanted
