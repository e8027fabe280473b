"""The collections of a database that another process writes, or that nobody writes now: which there are is looked up
in the catalogue as it stands on disk, by every call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from pykyro.database.changes import by_number
from pykyro.database.collections import Collections
from pykyro.engine.engine import Engine
from pykyro.engine.options import EngineOptions
from pykyro.engine.reading.open_reader import open_reader, refusal_of_reader
from pykyro.memory.budget import MemoryBudget
from pykyro.model.collection import CollectionInfo, not_found
from pykyro.model.errors import FailedPrecondition, StorageError
from pykyro.model.limits import COLLECTION_IDLE_S, COLLECTIONS_OPEN_MAX
from pykyro.storage import filename
from pykyro.storage.catalogue import Catalogue, decode_catalogue
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.watched_file import WatchedFile


class ReadCollections(Collections):
    """All that changes something raises FailedPrecondition."""

    def __init__(
        self,
        directory: Path,
        default: Engine | None,
        base: EngineOptions,
        *,
        memory: MemoryBudget | None = None,
        open_max: int = COLLECTIONS_OPEN_MAX,
        idle_s: float = COLLECTION_IDLE_S,
        refusal: Callable[[], str] | None = None,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        """`refusal` says what a write is told, `on_close` is called last of all. Raises DataDamaged, DataDirMismatch,
        OSError."""
        self._catalogue_path = directory / filename.CATALOGUE
        self._watched = WatchedFile(LocalFileSystem(), self._catalogue_path)
        self._refreshing = threading.RLock()
        self._on_close = on_close
        self._refusal = refusal or partial(refusal_of_reader, directory)
        super().__init__(directory, default, base, memory=memory, open_max=open_max, idle_s=idle_s)

    def number_of(self, name: str) -> int:
        self._refresh()
        return super().number_of(name)

    def names(self) -> list[str]:
        self._refresh()
        return super().names()

    def list(self, *, with_bytes: bool = False) -> list[CollectionInfo]:
        self._refresh()
        return super().list(with_bytes=with_bytes)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._on_close()

    def _refresh(self) -> None:
        """See which collections there are now. Raises DataDamaged."""
        self.open.check_process()
        if not self._watched.is_replaced:
            return
        with self._refreshing:
            content = self._watched.content_or_none()
            known = Catalogue() if content is None else decode_catalogue(content, self._catalogue_path)
            before, self._catalogue.current = self._by_number, known
            self._by_number = by_number(known)
        engines = self.open.engines()
        for number in before.keys() - self._by_number.keys():
            self.open.drop(number)
        for number, engine in engines.items():
            if (entry := self._by_number.get(number)) is not None:
                engine.ef_search = entry.ef_search

    def _changing(self) -> AbstractContextManager[object]:
        self.open.check_process()
        raise FailedPrecondition(self._refusal())

    def _open_engine(self, number: int) -> Engine:
        try:
            return super()._open_engine(number)
        except StorageError:
            self._refresh()
            if number not in self._by_number:
                raise not_found(f"number {number}", ()) from None
            raise

    def _engine_in(self, path: Path, options: EngineOptions) -> Engine:
        return open_reader(
            path,
            options,
            database=self.directory,
            clock=self.clock,
            memory=self._memory,
            threads=self._threads,
            refusal=self._refusal,
        )

    def _remove_abandoned(self) -> None:
        """What a crash left over is the writer's to remove."""
