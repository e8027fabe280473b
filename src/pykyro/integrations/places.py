"""How a store reaches its database: a directory, a server, or an object the program has already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, Final, TypeAlias

import pykyro
from pykyro.integrations.shared_directories import SharedDirectory

SyncDatabase: TypeAlias = pykyro.Database | pykyro.Client
SyncCollection: TypeAlias = pykyro.Collection | pykyro.RemoteCollection
Given: TypeAlias = SyncDatabase | pykyro.AsyncClient | SyncCollection | pykyro.AsyncCollection
"""What a program can hand over instead of a directory or a server."""


class Place:
    """A database, for callers that wait and for coroutines. What it opens itself, it closes.

    An embedded database and a given Client serve coroutines in threads, so the event loop goes on meanwhile; at a
    `url` coroutines have an AsyncClient of their event loop.
    """

    def __init__(
        self,
        *,
        path: str | PathLike[str] | None = None,
        url: str | None = None,
        database: Given | None = None,
        api_key: str | None = None,
        tls: pykyro.Tls | bool = False,
        timeout_s: float = 30.0,
    ) -> None:
        """Opens the directory `path`, or makes a client of the server at `url`. Raises InvalidArgument unless exactly
        one of path, url and database is given; what `pykyro.open` and `pykyro.Client` raise."""
        if sum(one is not None for one in (path, url, database)) != 1:
            raise pykyro.InvalidArgument(
                "give one of path (a directory), url (host:port of a server) and database (an open Database, "
                "Collection or client)",
                field="database",
            )
        self._given: Final = database
        self._sync: SyncDatabase | None = None
        self._directory: SharedDirectory | None = None
        self._make_async: Callable[[], pykyro.AsyncClient] | None = None
        self._async: Final[dict[asyncio.AbstractEventLoop, pykyro.AsyncClient]] = {}
        if path is not None:
            self._directory = SharedDirectory(path)
            self._sync = self._directory.database
        elif url is not None:
            self._sync = pykyro.Client(url, api_key=api_key, tls=tls, timeout_s=timeout_s)
            self._make_async = lambda: pykyro.AsyncClient(url, api_key=api_key, tls=tls, timeout_s=timeout_s)

    @property
    def database(self) -> Given:
        """The object behind it: what was given, or what was opened."""
        database = self._given if self._sync is None else self._sync
        assert database is not None
        return database

    def sync_collection(self, name: str) -> SyncCollection:
        """The collection for callers that wait. Raises FailedPrecondition where coroutines alone can be served."""
        database = self.database
        if isinstance(database, (pykyro.AsyncClient, pykyro.AsyncCollection)):
            raise pykyro.FailedPrecondition(
                f"this store was given an {type(database).__name__}, which cannot be waited for: await its "
                "methods for coroutines, or make a store with url, path, a Client or a Database"
            )
        if isinstance(database, (pykyro.Collection, pykyro.RemoteCollection)):
            return database
        return database.collection(name)

    def async_collection(self, name: str) -> Any:
        """The collection for coroutines of the running event loop: a pykyro.AsyncCollection, or what has its
        methods."""
        database = self._async_database()
        if isinstance(database, pykyro.AsyncCollection):
            return database
        if isinstance(database, pykyro.AsyncClient):
            return database.collection(name)
        return _InThreads(self.sync_collection(name))

    def create(
        self, name: str, dimension: int, distance: pykyro.Distance, text: Mapping[str, Any] | None = None
    ) -> None:
        """Create a collection whose ids are text; one that is there already will do. `text` as for
        `create_collection`."""
        database = self.database
        assert isinstance(database, (pykyro.Database, pykyro.Client))
        database.create_collection(name, dimension, distance, id_type="text", text=text, exist_ok=True)

    async def acreate(
        self, name: str, dimension: int, distance: pykyro.Distance, text: Mapping[str, Any] | None = None
    ) -> None:
        """`create` for coroutines."""
        database = self._async_database()
        if isinstance(database, pykyro.AsyncClient):
            await database.create_collection(
                name, dimension, distance, id_type="text", text=text, exist_ok=True
            )
        else:
            await asyncio.to_thread(self.create, name, dimension, distance, text)

    @property
    def is_collection(self) -> bool:
        """Whether the program has handed over a collection, which is not created here."""
        return isinstance(self._given, (pykyro.Collection, pykyro.RemoteCollection, pykyro.AsyncCollection))

    def close(self) -> None:
        """Close what was opened here, a directory unless another store uses it; clients of event loops by
        `aclose`."""
        opened = self._directory or self._sync
        if opened is not None:
            opened.close()

    async def aclose(self) -> None:
        """Close what was opened here, the client of this event loop with it."""
        client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        await asyncio.to_thread(self.close)

    def _async_database(self) -> Given:
        if self._make_async is None:
            return self.database
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None:
            # A program may run one loop after the other; the client of one that is closed can serve nobody.
            for ended in [known for known in list(self._async) if known.is_closed()]:
                self._async.pop(ended, None)
            client = self._async[loop] = self._make_async()
        return client


class _InThreads:
    """The methods of a collection as coroutines, each call in a thread."""

    def __init__(self, collection: SyncCollection) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)

        async def call(*given: Any, **named: Any) -> Any:
            return await asyncio.to_thread(method, *given, **named)

        return call
