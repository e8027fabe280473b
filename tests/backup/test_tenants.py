"""Backups made before there were tenants, and after: each restores to the documents of its moment."""

from __future__ import annotations

from pathlib import Path

from tests.backup.played import DIMENSION, read_files
from tests.crash.oracle import Doc, State
from tests.engine.opening import open_small, vectors

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup, plan_position
from pykyro.backup.restore import restore
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import check_recovery
from pykyro.engine.engine import Engine
from pykyro.model.requests import Delete, Operation, Put
from pykyro.model.types import Document, Scope, key_of
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

DISK = LocalFileSystem()
IDS = (1, 7, 2**32 + 7, 2**33 + 7, 2**64 - 1)


def put(tenant: int | None, doc_id: int, mark: int) -> Put:
    vector = vectors(1, seed=mark, dimension=DIMENSION)[0]
    return Put(Document(doc_id, vector, {"mark": str(mark), **Scope(tenant).constraints}, tenant))


def test_a_chain_that_begins_before_there_were_tenants_restores_at_every_position(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", dimension=DIMENSION)
    target = DirectoryTarget(DISK, tmp_path / "backups")
    state: State = {}
    states: dict[int, State] = {}
    backups: dict[str, State] = {}

    def write(operation: Operation) -> None:
        if isinstance(operation, Put):
            document = operation.document
            state[document.key] = Doc.of(document.vector, document.metadata)
        elif isinstance(operation, Delete):
            state.pop(key_of(operation.scope.tenant, int(operation.doc_id)))
        states[engine.write(operation).lsn] = dict(state)

    def back_up(*, incremental: bool) -> None:
        entry = create_backup(
            DISK, tmp_path / "data", target, SystemClock(), CreateOptions(incremental=incremental)
        )
        assert entry.record.documents == len(state)
        backups[entry.id] = dict(state)

    def fill(engine: Engine, tenant: int | None, mark: int) -> None:
        for doc_id in IDS:
            write(put(tenant, doc_id, mark))
            if doc_id == 7:
                engine.flush()

    fill(engine, None, 1)
    back_up(incremental=False)
    write(put(None, 2**32 + 1, 2))
    engine.tenant_indices(["one", "two"])
    fill(engine, 1, 3)
    back_up(incremental=True)
    write(Delete(2**32 + 7))
    write(Delete(7, Scope(1)))
    fill(engine, 2, 4)
    back_up(incremental=True)
    engine.close()

    catalog = read_catalog(target)
    for number, (backup_id, expected) in enumerate(backups.items()):
        place = tmp_path / f"backup {number}"
        restore(DISK, place, Store(target), plan_backup(catalog, backup_id), SystemClock(), allow_clear=False)
        assert check_recovery(DISK, place).documents == len(expected)
        assert read_files(DISK, place) == expected
    first = min(lsn for lsn, known in states.items() if known == next(iter(backups.values())))
    for lsn in (one for one in states if one >= first):
        place = tmp_path / f"position {lsn}"
        restore(DISK, place, Store(target), plan_position(catalog, lsn), SystemClock(), allow_clear=False)
        assert read_files(DISK, place) == states[lsn]
        reopened = open_small(place, dimension=DIMENSION)
        assert reopened.stats().documents == len(states[lsn])
        reopened.close()
