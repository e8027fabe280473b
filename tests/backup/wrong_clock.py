"""A database on real files whose clock can be set and whose directory can be rolled back, and its backups."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.crash.clock import FakeClock
from tests.engine.opening import DIMENSION, vectors

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import Catalog, CatalogEntry, read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan, plan_backup
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.target.target import DirectoryTarget
from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.requests import Put
from pykyro.model.types import Document
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.wal.log import SyncPolicy

FILES = LocalFileSystem()
START_S = 1_800_000_000.0
ROWS = vectors(8)


class Site:
    """`warnings` are those of the last backup."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.clock = FakeClock(START_S)
        self.target = DirectoryTarget(FILES, root / "backups")
        self.warnings: list[str] = []

    def write(self, *doc_ids: int, mark: str = "", flush: bool = False) -> None:
        """Open, write a document a second, close."""
        options = EngineOptions(
            dimension=DIMENSION, background=False, sync=SyncPolicy.NONE, wal_retention_bytes=1 << 30
        )
        engine = open_engine(
            self.data, options, filesystem=FILES, clock=self.clock, builder=InlineBuilder(FILES)
        )
        for doc_id in doc_ids:
            self.clock.advance(1)
            engine.write(Put(Document(doc_id, ROWS[doc_id % len(ROWS)], {"mark": mark})))
        if flush:
            engine.flush()
        engine.close()

    def keep_image(self, name: str = "image") -> None:
        shutil.copytree(self.data, self.root / name)

    def roll_back(self, name: str = "image") -> None:
        """The disk is as it was when the image was taken."""
        shutil.rmtree(self.data)
        shutil.copytree(self.root / name, self.data)

    def back_up(self, *, incremental: bool = True, **options: object) -> CatalogEntry:
        self.warnings = []
        chosen = CreateOptions(incremental=incremental, warn=self.warnings.append, **options)  # type: ignore[arg-type]
        return create_backup(FILES, self.data, self.target, self.clock, chosen)

    @property
    def catalog(self) -> Catalog:
        return read_catalog(self.target)

    @property
    def store(self) -> Store:
        return Store(self.target)

    def restored(self, plan: RestorePlan) -> dict[int, str]:
        """The mark of each document that a restore brings back."""
        place = self.root / "restored"
        restore(FILES, place, self.store, plan, self.clock, allow_clear=True)
        return {
            document.doc_id: document.metadata["mark"] for document in OfflineReader(FILES, place).documents()
        }

    def restored_backup(self, entry: CatalogEntry) -> dict[int, str]:
        return self.restored(plan_backup(self.catalog, entry.id))

    def restore_in_place(self, entry: CatalogEntry) -> None:
        plan = plan_backup(self.catalog, entry.id)
        restore(FILES, self.data, self.store, plan, self.clock, allow_clear=True)
