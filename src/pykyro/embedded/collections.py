"""The embedded database: the engine in the caller's own process, with the methods that pykyro.Client has.

with pykyro.open("data", dimension=384) as db:
    db.insert(1, vector, {"source": "wiki"})
    for hit in db.search(question, k=5, filter={"source": "wiki"}):
        print(hit.id, hit.score, hit.metadata)

    db.create_collection("pictures", dimension=512)
    db.collection("pictures").insert(1, picture)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from pykyro.database.collections import Collections
from pykyro.embedded.answers import health_of
from pykyro.embedded.documents import Documents
from pykyro.engine.engine import Engine
from pykyro.model.answers import Health
from pykyro.model.collection import (
    CollectionInfo,
    Distance,
    IdType,
    checked_changes,
    checked_collection_name,
    checked_config,
)
from pykyro.model.errors import Unavailable
from pykyro.model.expiry import Ttl
from pykyro.model.requests import MoveReport
from pykyro.model.words import TextLike
from pykyro.storage.files.filesystem import Lock
from pykyro.system.job_thread import JobThread

Answer = TypeVar("Answer")


class Collection(Documents):
    """One collection of an open database, known by its name or by an alias: what that stands for is looked up anew by
    each call. Every method raises NotFound when there is none of that name."""

    def __init__(self, database: Database, name: str) -> None:
        """Programs call `Database.collection`."""
        super().__init__()
        self._database = database
        self.name = name

    def __repr__(self) -> str:
        return f"<pykyro.Collection {self.name!r}>"

    def describe(self) -> CollectionInfo:
        """Its configuration, documents and bytes."""
        return self._database.describe_collection(self.name)

    def _in_use(self) -> AbstractContextManager[Engine]:
        return self._database._using(self.name)


class Database(Documents):
    """An open database: its collections, and as its own documents those of the collection `default`.

    Every method raises Unavailable once the database is closed. Without a dimension the database has no `default`;
    then the methods of documents raise FailedPrecondition.
    """

    def __init__(self, collections: Collections, lock: Lock | None = None) -> None:
        """Takes over `collections`, its default engine and, where there is none, the lock of the directory; programs
        call `pykyro.open`."""
        super().__init__()
        self._collections = collections
        self._engine = collections.default
        self._open: _Open | None = None if self._engine is None else _open(self._engine)
        self._lock = lock
        self._jobs = JobThread()
        self._opened_s = time.monotonic()
        self._closed = False

    def __repr__(self) -> str:
        path = str(self._collections.directory)
        if self._closed:
            return f"<pykyro.Database {path!r}, closed>"
        engine = self._engine
        if engine is None:
            return f"<pykyro.Database {path!r}, of collections only>"
        schema = engine.schema
        return f"<pykyro.Database {path!r}, dimension {schema.dimension}, {schema.metric.value}>"

    # --- collections ---

    def collection(self, name: str) -> Collection:
        """The collection of this name or alias; whether it exists is found out by its methods."""
        self._check_open()
        return Collection(self, checked_collection_name(name, "name"))

    def create_collection(
        self,
        name: str,
        dimension: int,
        distance: Distance = "cosine",
        *,
        m: int = 16,
        ef_construction: int = 200,
        ef_search: int = 50,
        id_type: IdType = "integer",
        default_ttl: Ttl | None = None,
        cold_tier: str = "local",
        text: TextLike | None = None,
        exist_ok: bool = False,
    ) -> Collection:
        """Create a collection for vectors of `dimension` components. Documents that are stored without an expiry go
        after `default_ttl`, a timedelta or seconds, if it is given. With a `cold_tier` of "postgres", or
        "postgres:service", sealed documents are in the PostgreSQL that this connection service names. With
        `text`, a metadata key, several, or {"keys": [...], "language": "english"}, documents are found by the words
        under these keys too.

        Raises AlreadyExists when the name is taken; with `exist_ok` only InvalidArgument, when what is there has
        another dimension or distance. Raises WriteFailed; Unavailable and FailedPrecondition of the cold tier.
        """
        config = checked_config(
            dimension,
            distance,
            m=m,
            ef_construction=ef_construction,
            ef_search=ef_search,
            id_type=id_type,
            default_ttl=default_ttl,
            cold_tier=cold_tier,
            text=text,
        )
        self._change(lambda: self._collections.create(name, config, exist_ok=bool(exist_ok)))
        return Collection(self, name)

    def collections(self) -> list[CollectionInfo]:
        """All collections, `default` first. None is opened for it: documents that are not known then are None."""
        self._check_open()
        return self._collections.list()

    def describe_collection(self, name: str) -> CollectionInfo:
        """Everything about one collection. Raises NotFound."""
        return self._change(lambda: self._collections.describe(name))

    def update_collection(
        self, name: str, *, ef_search: int | None = None, default_ttl: Ttl | None = None
    ) -> CollectionInfo:
        """Change what can change of a collection; None stays as it is, and a `default_ttl` of math.inf is none. It
        holds for documents stored from now on. Raises NotFound, WriteFailed."""
        changes = checked_changes(ef_search, default_ttl)
        return self._change(lambda: self._collections.update(name, changes))

    def rename_collection(self, name: str, new_name: str) -> None:
        """Give a collection another name. Its aliases stay. Raises NotFound, AlreadyExists, WriteFailed."""
        self._change(lambda: self._collections.rename(name, new_name))

    def set_alias(self, alias: str, name: str) -> None:
        """Have `alias` stand for a collection, whatever it stood for before: no call sees neither. Raises NotFound,
        AlreadyExists, WriteFailed."""
        self._change(lambda: self._collections.set_alias(alias, name))

    def remove_alias(self, alias: str) -> bool:
        """Take an alias away, not its collection; False when there was none. Raises WriteFailed."""
        return self._change(lambda: self._collections.remove_alias(alias))

    def move_collection(self, name: str, cold_tier: str) -> MoveReport:
        """Have the sealed documents of a collection in PostgreSQL ("postgres", "postgres:service"), or "local" again,
        while it is used. It takes as long as copying them; repeated after an interruption it goes on.

        Raises NotFound, FailedPrecondition, Unavailable."""
        self._check_open()
        return self._collections.move(name, cold_tier)

    def drop_collection(self, name: str) -> None:
        """Remove a collection with all its documents and aliases. Raises NotFound, WriteFailed."""
        self._change(lambda: self._collections.drop(name))

    # --- the database itself ---

    def health(self) -> Health:
        """Whether the database is well; "unhealthy" means that writes are refused, "degraded" also that searches were
        seen to find far fewer of the true results than they should."""
        uptime_s = time.monotonic() - self._opened_s
        self._check_open()
        troubles = [f"collection {name!r}: {text}" for name, text in self._collections.troubles().items()]
        engine = self._engine
        if engine is None:
            return health_of(None, "", uptime_s, troubles)
        return health_of(engine.stats(), engine.recall.warning, uptime_s, troubles)

    def close(self) -> None:
        """Bring everything to disk and release the directory. Closing twice is allowed. Raises WriteFailed."""
        self._closed = True
        try:
            if not self._collections.open.is_inherited:
                self._jobs.call(self._collections.close)
                self._jobs.stop()
        finally:
            if self._engine is not None:
                self._engine.close()
            else:
                self._release()

    def __enter__(self) -> Self:
        self._check_open()
        if self._engine is not None:
            self._engine.stats()  # refused in a forked child, like all the rest
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if "_closed" not in vars(self) or self._closed:
            return
        for engine in self._collections.open.let_go():
            engine.let_go()
        if self._engine is not None:
            self._engine.let_go()
        else:
            self._release()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open database cannot be pickled or copied: pass its path on, and open it there")

    # --- steps ---

    def _release(self) -> None:
        """Let go of the directory, which without a default engine is held here; in a forked child it is the
        parent's."""
        if self._lock is not None and not self._collections.open.is_inherited:
            self._lock.release()

    def _in_use(self) -> AbstractContextManager[Engine]:
        self._check_open()
        opened = self._open
        return _open(self._collections.default_engine) if opened is None else opened

    @contextmanager
    def _using(self, name: str) -> Iterator[Engine]:
        """The engine of a collection. It is opened whole, even when a signal handler raises meanwhile."""
        self._check_open()
        number = self._collections.number_of(name)
        opened = self._collections.open
        if not number:
            with _open(self._collections.default_engine) as engine:
                yield engine
            return
        pinned = opened.pin_open(number) or self._jobs.call(lambda: opened.pin(number))
        try:
            assert pinned.engine is not None
            if pinned.engine.following is not None:
                pinned.engine.following.catch_up()
            yield pinned.engine
        finally:
            opened.unpin(pinned)

    def _change(self, work: Callable[[], Answer]) -> Answer:
        """Do it whole, even when a signal handler raises meanwhile."""
        self._check_open()
        return self._jobs.call(work)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the database is closed")
        self._collections.open.check_process()


class _Open:
    """An engine that is open for as long as the database is."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Engine:
        return self._engine

    def __exit__(self, *_: object) -> None:
        pass


class _OpenReader(_Open):
    """The same of an engine that follows another process: what that acknowledged is visible first."""

    __slots__ = ()

    def __enter__(self) -> Engine:
        engine = self._engine
        if engine.following is not None:
            engine.following.catch_up()
        return engine


def _open(engine: Engine) -> _Open:
    return _Open(engine) if engine.following is None else _OpenReader(engine)
