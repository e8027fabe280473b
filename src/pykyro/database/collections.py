"""The collections of a database: which there are, and the open engine of each.

What there is stands in the catalogue (storage/catalogue.py), so each change has one moment at which it happens: when
the new catalogue is durable.

    create   the directory, whole and empty  →  catalogue
    rename, alias                               catalogue
    drop                                        catalogue  →  close  →  remove the directory

Dying in between leaves at most a directory that the catalogue does not name; the next start removes it. So whoever
was told that a collection is there finds it, and of one that is not there nothing is left.

`default` is the directory itself. Its engine is open for as long as the database is, and who uses it comes by here
without waiting for anything.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from pykyro.database.catalogue_entry import (
    config_of,
    config_of_default,
    engine_options_of,
    entry_of,
    new_directory,
)
from pykyro.database.changes import (
    by_number,
    renamed,
    with_alias,
    with_cold_tier,
    with_collection,
    without_alias,
    without_collection,
)
from pykyro.database.elsewhere import (
    check_remote,
    check_service,
    checked_move,
    remove_abandoned,
    remove_collection,
)
from pykyro.database.facts import closed_documents, directory_bytes
from pykyro.database.names import TAKEN, all_names, check_same, name_of, number_of, own_entry, taken_by
from pykyro.database.open_collections import OpenCollection, OpenCollections, troubles_of
from pykyro.database.writing import writing
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import Builder
from pykyro.engine.maintenance.process_builder import ProcessBuilder
from pykyro.engine.options import EngineOptions
from pykyro.memory.budget import CACHES_SHRINK_FROM, MemoryBudget
from pykyro.model.cold_tier import LOCAL, ColdTier
from pykyro.model.collection import (
    DEFAULT,
    DEFAULT_NUMBER,
    CollectionChanges,
    CollectionConfig,
    CollectionInfo,
    checked_collection_name,
    not_found,
)
from pykyro.model.errors import (
    AlreadyExists,
    DataDamaged,
    FailedPrecondition,
    KyroError,
    NotFound,
    ResourceExhausted,
)
from pykyro.model.limits import COLLECTION_IDLE_S, COLLECTIONS_MAX, COLLECTIONS_OPEN_MAX
from pykyro.model.requests import MoveReport
from pykyro.storage import filename
from pykyro.storage.catalogue import Catalogue, CatalogueStore, collection_directory
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.files.remove_tree import remove_tree
from pykyro.system.clock import Clock, SystemClock
from pykyro.system.job_thread import JobThreads

_log: Final = logging.getLogger(__name__)


class Collections:
    """The collections of one database. Any thread may call any method; those that change something return when it is
    durable. Names may be aliases wherever a collection is named, except where it is said."""

    def __init__(
        self,
        directory: Path,
        default: Engine | None,
        base: EngineOptions,
        *,
        filesystem: FileSystem | None = None,
        clock: Clock | None = None,
        builder: Builder | None = None,
        memory: MemoryBudget | None = None,
        open_max: int = COLLECTIONS_OPEN_MAX,
        idle_s: float = COLLECTION_IDLE_S,
    ) -> None:
        """Reads the catalogue and removes what a crash left over. The caller holds the lock of the directory.

        `base` says everything about an engine that the collection itself does not. Raises DataDamaged,
        DataDirMismatch, OSError.
        """
        self._filesystem = filesystem or LocalFileSystem()
        self.directory = self._directory = directory
        self.clock = clock or SystemClock()
        self._builder = builder or ProcessBuilder(self._filesystem)
        self._memory = memory
        self._threads = JobThreads()
        self._base = base
        self.default = default
        """The engine of `default`; None where the database was opened without saying its dimension."""
        self.read_only = ""
        """Why collections cannot be changed; empty while they can."""
        self.on_open: Callable[[Engine], None] = lambda engine: None
        """Told of every engine that is opened, before anybody uses it."""
        self.open = OpenCollections(
            directory,
            self._open_engine,
            open_max=open_max,
            idle_s=idle_s,
            is_short=lambda: memory is not None and memory.pressure > CACHES_SHRINK_FROM,
        )
        self._catalogue = CatalogueStore(self._filesystem, directory)
        self._by_number = by_number(self._catalogue.current)
        remove_abandoned(self._filesystem, directory, self._by_number, base)

    # --- using one ----------------------------------------------------------------------------------

    @contextmanager
    def using(self, name: str) -> Iterator[Engine]:
        """The engine of a collection, open for as long as the context lasts.

        Raises InvalidArgument, NotFound, FailedPrecondition, Unavailable, and what opening it raises.
        """
        number = self.number_of(name)
        if number == DEFAULT_NUMBER:
            yield self.default_engine
            return
        pinned = self.pin(number)
        try:
            assert pinned.engine is not None
            yield pinned.engine
        finally:
            self.open.unpin(pinned)

    def pin(self, number: int) -> OpenCollection:
        """See OpenCollections.pin; `number` is not that of `default`."""
        return self.open.pin_open(number) or self.open.pin(number)

    @property
    def default_engine(self) -> Engine:
        """The engine of `default`. Raises FailedPrecondition when the database was opened without it."""
        if self.default is None:
            raise FailedPrecondition(
                f"the collection {DEFAULT!r} does not exist yet, since no dimension was given: open the database "
                "with dimension=, or name a collection"
            )
        return self.default

    def number_of(self, name: str) -> int:
        """The number of the collection called `name` ("" is `default`). Raises InvalidArgument, NotFound."""
        self.open.check_process()
        return number_of(self._catalogue.current, name)

    def exists(self, number: int) -> bool:
        """Whether the collection of this number has not been dropped."""
        return number == DEFAULT_NUMBER or number in self._by_number

    def id_type_of(self, number: int) -> str:
        """The type of the ids of a collection that is not `default`; "" once it is dropped."""
        entry = self._by_number.get(number)
        return "" if entry is None else entry.id_type

    # --- telling ------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all collections, `default` first if it is there, the others by name; no aliases."""
        others = sorted(self._catalogue.current.collections)
        return [DEFAULT, *others] if self.default is not None else others

    def names_by_number(self) -> dict[int, str]:
        """The name of every collection but `default`."""
        return {entry.number: name for name, entry in self._catalogue.current.collections.items()}

    def describe(self, name: str) -> CollectionInfo:
        """Everything about one collection; it is opened when its documents cannot be counted otherwise."""
        number = self.number_of(name)
        info = self._info(number, with_bytes=True)
        if info.documents is None:
            with self.using(info.name):
                info = self._info(number, with_bytes=True)
        return info

    def list(self, *, with_bytes: bool = False) -> list[CollectionInfo]:
        """About all collections, in the order of `names`. None is opened for it."""
        known = self._catalogue.current
        named = [(name, known.collections[name].number) for name in sorted(known.collections)]
        if self.default is not None:
            named.insert(0, (DEFAULT, DEFAULT_NUMBER))
        infos = []
        for name, number in named:
            with contextlib.suppress(NotFound):
                infos.append(self._info(number, name, with_bytes=with_bytes))
        return infos

    def troubles(self) -> dict[str, str]:
        """Names of the collections that are in trouble, and what it is."""
        return troubles_of(self.open, self.names_by_number())

    # --- changing -----------------------------------------------------------------------------------

    def create(self, name: str, config: CollectionConfig, *, exist_ok: bool = False) -> bool:
        """Create a collection; False when it was there, which `exist_ok` allows if it is the same. Raises
        InvalidArgument, AlreadyExists, ResourceExhausted, WriteFailed."""
        checked_collection_name(name, "name")
        with self._changing():
            taken = taken_by(self._catalogue.current, name)
            if taken is not None:
                check_same(name, self._config(taken), config, exist_ok=exist_ok)
                return False
            if len(self._by_number) >= COLLECTIONS_MAX:
                raise ResourceExhausted(f"there are {COLLECTIONS_MAX} collections; drop some first")
            if config.cold_tier != LOCAL:
                check_service(config.cold_tier, self._base)
            entry = entry_of(config, self._catalogue.take_number(), self.clock.wall_us())
            path = collection_directory(self._directory, entry.number)
            try:
                with writing(self._directory, "creating a collection"):
                    new_directory(self._filesystem, path, entry)
                self._change(lambda known: with_collection(known, name, entry))
            except BaseException:
                # The catalogue may name it all the same; then its directory has to stay until the matter is settled.
                if self._catalogue.is_settled:
                    with contextlib.suppress(OSError):
                        remove_tree(self._filesystem, path)
                raise
            return True

    def update(self, name: str, changes: CollectionChanges) -> CollectionInfo:
        """Change what can change. Raises NotFound, InvalidArgument, WriteFailed."""
        with self._changing():
            number = self.number_of(name)
            if number == DEFAULT_NUMBER:
                raise changes.refusal_for_default
            changed = self._by_number[number].model_copy(update=changes.values)
            self._change(lambda known: with_collection(known, name_of(known, number), changed))
            engine = self.open.engines().get(number)
            if engine is not None:
                engine.ef_search, engine.default_ttl_us = changed.ef_search, changed.default_ttl_us
        return self._info(number)

    def rename(self, name: str, new_name: str) -> None:
        """Give a collection another name; aliases and whoever uses it stay with it. `name` is no alias.

        Raises NotFound, AlreadyExists, InvalidArgument, WriteFailed.
        """
        checked_collection_name(new_name, "new_name")
        with self._changing():
            own_entry(self._catalogue.current, name, "renamed")
            if new_name == name:
                return
            if taken_by(self._catalogue.current, new_name) is not None:
                raise AlreadyExists(TAKEN.format(new_name))
            self._change(lambda known: renamed(known, name, new_name))

    def set_alias(self, alias: str, name: str) -> None:
        """Have `alias` stand for a collection, whatever it stood for before: from one moment to the next.

        Raises NotFound, AlreadyExists when a collection is called so, InvalidArgument, WriteFailed.
        """
        checked_collection_name(alias, "alias")
        with self._changing():
            number = self.number_of(name)
            if alias == DEFAULT or alias in self._catalogue.current.collections:
                raise AlreadyExists(f"a collection is called {alias!r}, so no alias can be")
            aliases = self._catalogue.current.aliases
            if alias not in aliases and len(aliases) >= COLLECTIONS_MAX:
                raise ResourceExhausted(f"there are {COLLECTIONS_MAX} aliases; remove some first")
            self._change(lambda known: with_alias(known, alias, number))

    def remove_alias(self, alias: str) -> bool:
        """Take an alias away, not its collection; False when there was none. Raises InvalidArgument, WriteFailed."""
        checked_collection_name(alias, "alias")
        with self._changing():
            if alias not in self._catalogue.current.aliases:
                return False
            self._change(lambda known: without_alias(known, alias))
            return True

    def drop(self, name: str) -> None:
        """Remove a collection with all its documents and aliases; its space is free when this returns. `name` is no
        alias. What uses it at the moment finishes or fails.

        Raises NotFound, InvalidArgument, WriteFailed, and Unavailable when its documents are elsewhere and that place
        cannot be reached; once it is gone, what cannot be removed is removed at the next start.
        """
        with self._changing():
            number = own_entry(self._catalogue.current, name, "dropped").number
            path = collection_directory(self._directory, number)
            check_remote(self._filesystem, path, self._base)
            self._change(lambda known: without_collection(known, name))
        self.open.drop(number)
        remove_collection(self._filesystem, path, self._base)

    def move(self, name: str, cold_tier: str) -> MoveReport:
        """Have the sealed documents of a collection elsewhere, or here again, while it is used; see Engine.move.
        Raises NotFound, InvalidArgument, and what that raises."""
        number, to = self.number_of(name), checked_move(self._filesystem, self._directory, cold_tier)
        with self.using(name) as engine:
            report = engine.move(to)
            self._note_cold_tier(number, to)
        return report

    def close(self) -> None:
        """Close every collection but `default`, whose engine is its owner's. Raises WriteFailed."""
        try:
            self.open.close()
        finally:
            self._threads.stop()

    # --- steps --------------------------------------------------------------------------------------

    def _changing(self) -> AbstractContextManager[object]:
        """Held by whoever changes which collections there are."""
        self.open.check_process()
        if self.read_only:
            raise FailedPrecondition(self.read_only)
        return self._catalogue.lock

    def _change(self, change: Callable[[Catalogue], Catalogue]) -> None:
        with writing(self._directory, "changing the catalogue"):
            self._by_number = by_number(self._catalogue.update(change))

    def _open_engine(self, number: int) -> Engine:
        entry = self._by_number.get(number)
        if entry is None:
            raise not_found(f"number {number}", ())
        path = collection_directory(self._directory, number)
        if not self._filesystem.exists(path / filename.MANIFEST):
            raise DataDamaged(
                "the files of a collection are missing, which the catalogue names",
                path=path,
                hint="Put them back or restore the collection from a backup; or drop it",
            )
        engine = self._engine_in(path, engine_options_of(self._base, entry, self.open.open_max))
        for warning in engine.recovered.warnings:
            _log.warning("recovery of %s: %s", path, warning)
        with contextlib.suppress(KyroError):
            self._note_cold_tier(number, engine.options.cold_tier)
        self.on_open(engine)
        return engine

    def _engine_in(self, path: Path, options: EngineOptions) -> Engine:
        return open_engine(
            path,
            options,
            filesystem=self._filesystem,
            clock=self.clock,
            builder=self._builder,
            memory=self._memory,
            threads=self._threads,
        )

    def _note_cold_tier(self, number: int, there: ColdTier | None) -> None:
        """What MANIFEST says counts; the catalogue only tells."""
        entry = self._by_number.get(number)
        if entry is not None and there is not None and entry.cold_tier != str(there):
            with self._changing():
                self._change(lambda known: with_cold_tier(known, number, str(there)))

    def _config(self, number: int) -> CollectionConfig:
        if number == DEFAULT_NUMBER:
            return config_of_default(self.default_engine.options, self.default_engine.ef_search)
        return config_of(self._by_number[number])

    def _info(self, number: int, name: str = "", *, with_bytes: bool = False) -> CollectionInfo:
        known, path = self._catalogue.current, collection_directory(self._directory, number)
        entry = self._by_number.get(number)
        if entry is None and number != DEFAULT_NUMBER:  # dropped meanwhile
            raise not_found(name or f"number {number}", all_names(known))
        engine = self.default_engine if number == DEFAULT_NUMBER else self.open.engines().get(number)
        return CollectionInfo(
            name=name or name_of(known, number),
            config=self._config(number) if entry is None else config_of(entry),
            aliases=tuple(sorted(alias for alias, each in known.aliases.items() if each == number)),
            created_us=0 if entry is None else entry.created_us,
            documents=engine.documents if engine is not None else closed_documents(self._filesystem, path),
            size_bytes=directory_bytes(self._filesystem, path) if with_bytes else None,
            is_open=engine is not None,
            trouble=self.open.troubles.get(number, ""),
        )
