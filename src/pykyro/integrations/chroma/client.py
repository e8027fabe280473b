"""The clients of Chroma by their names: embedded in the program, or at a server."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import pykyro
from pykyro.integrations.chroma.collection import Collection
from pykyro.integrations.chroma.embedding import Embedder
from pykyro.integrations.chroma.errors import (
    AuthorizationError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    NotSupported,
    chroma_errors,
)
from pykyro.integrations.chroma.registry import Registry
from pykyro.integrations.chroma.settings import DATABASE, TENANT, Settings, check_only_database, hnsw_settings
from pykyro.integrations.places import SyncDatabase
from pykyro.integrations.shared_directories import SharedDirectory

_KEY_HEADERS: Final = ("x-api-key", "x-chroma-token", "authorization")
_BATCH_MAX: Final = 10_000
_ephemeral: Final[dict[int, SharedDirectory]] = {}
"""What EphemeralClients have open, by process: they share it."""


class ClientAPI:
    """The collections of one database. `Client`, `PersistentClient`, `EphemeralClient` and `HttpClient` make it."""

    def __init__(
        self, database: SyncDatabase, opened: SharedDirectory | pykyro.Client | None, settings: Settings
    ) -> None:
        self._opened: Final = opened
        self._settings: Final = settings
        self._registry: Final = Registry(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- collections ---

    def create_collection(
        self,
        name: str,
        schema: object = None,
        configuration: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        embedding_function: Embedder | None = None,
        data_loader: object = None,
        get_or_create: bool = False,
    ) -> Collection:
        """Make a collection. The distance is `metadata["hnsw:space"]` or `configuration["hnsw"]["space"]`: "l2"
        unless it is said, "cosine" or "ip". Raises InternalError when the name is taken, InvalidArgumentError."""
        if schema is not None or data_loader is not None:
            raise NotSupported(
                "create_collection(schema=…, data_loader=…): metadata is indexed without a schema"
            )
        if metadata is not None and not metadata:
            raise InvalidArgumentError("Validation error: metadata: Metadata cannot be empty")
        hnsw = hnsw_settings(metadata, configuration)
        if get_or_create:
            try:
                return self.get_collection(name, embedding_function)
            except NotFoundError:
                pass
        try:
            with chroma_errors(name):
                entry = self._registry.create(name, metadata, hnsw)
            return Collection(self._registry, entry, embedding_function)
        except InternalError:
            if not get_or_create:
                raise
            return self.get_collection(name, embedding_function)  # another one was faster

    def get_collection(
        self, name: str, embedding_function: Embedder | None = None, data_loader: object = None
    ) -> Collection:
        """The collection of this name. Raises NotFoundError."""
        if data_loader is not None:
            raise NotSupported("get_collection(data_loader=…): load what the URIs name in the program")
        return Collection(self._registry, self._registry.entry(name), embedding_function)

    def get_or_create_collection(
        self,
        name: str,
        schema: object = None,
        configuration: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        embedding_function: Embedder | None = None,
        data_loader: object = None,
    ) -> Collection:
        """The collection of this name as it is, or one made with these metadata."""
        return self.create_collection(
            name, schema, configuration, metadata, embedding_function, data_loader, get_or_create=True
        )

    def list_collections(self, limit: int | None = None, offset: int | None = None) -> Sequence[Collection]:
        """The collections, in the order in which they were made."""
        begin = offset or 0
        entries = self._registry.entries()[begin : None if limit is None else begin + limit]
        return [Collection(self._registry, entry, None) for entry in entries]

    def count_collections(self) -> int:
        """How many collections there are."""
        return len(self._registry.entries())

    def delete_collection(self, name: str) -> None:
        """Remove a collection with all its rows. Raises NotFoundError."""
        self._registry.delete(self._registry.entry(name))

    def reset(self) -> bool:
        """Remove all collections. Raises AuthorizationError unless the settings say `allow_reset`."""
        if not self._settings.allow_reset:
            raise AuthorizationError("Reset is disabled by config")
        for entry in self._registry.entries():
            self._registry.delete(entry)
        return True

    # --- the client itself ---

    def heartbeat(self) -> int:
        """Nanoseconds since the Unix epoch, when the database answers."""
        self._registry.database.health()
        return time.time_ns()

    def get_version(self) -> str:
        """The version of KyroDB."""
        return pykyro.__version__

    def get_max_batch_size(self) -> int:
        """How many rows a program does well to add at once; more are taken as well."""
        return _BATCH_MAX

    def get_settings(self) -> Settings:
        """The settings that were given."""
        return self._settings

    def set_tenant(self, tenant: str, database: str = DATABASE) -> None:
        """Takes the defaults alone. Raises NotSupported."""
        check_only_database(tenant, database)

    def set_database(self, database: str) -> None:
        """Takes the default alone. Raises NotSupported."""
        check_only_database(TENANT, database)

    def close(self) -> None:
        """Close what this client opened; what another client of this process uses as well stays open."""
        if self._opened is not None:
            self._opened.close()


def PersistentClient(  # noqa: N802 - the names are those of Chroma
    path: str | PathLike[str] = "./chroma",
    settings: Settings | None = None,
    tenant: str = TENANT,
    database: str = DATABASE,
) -> ClientAPI:
    """The database in a directory, opened in this process; clients of the same directory share it.

    The directory is one of KyroDB; `kyrodb import --from chroma` brings a directory of Chroma over.
    """
    check_only_database(tenant, database)
    _check_is_not_of_chroma(path)
    opened = SharedDirectory(path, typed_values=True)
    return ClientAPI(opened.database, opened, settings or Settings())


def EphemeralClient(  # noqa: N802
    settings: Settings | None = None, tenant: str = TENANT, database: str = DATABASE
) -> ClientAPI:
    """A database that ends with the process, in a directory for temporary files; all these clients share it."""
    check_only_database(tenant, database)
    opened = _ephemeral.get(os.getpid())
    if opened is None:
        directory = tempfile.mkdtemp(prefix="pykyro-ephemeral-")
        opened = _ephemeral[os.getpid()] = SharedDirectory(directory, typed_values=True, sync="none")
        atexit.register(_end_ephemeral, os.getpid(), directory)
    return ClientAPI(opened.database, None, settings or Settings())


def Client(  # noqa: N802
    settings: Settings | None = None, tenant: str = TENANT, database: str = DATABASE
) -> ClientAPI:
    """An EphemeralClient; with `Settings(is_persistent=True, persist_directory=…)` a PersistentClient."""
    if settings is not None and settings.is_persistent:
        return PersistentClient(settings.persist_directory, settings, tenant, database)
    return EphemeralClient(settings, tenant, database)


def HttpClient(  # noqa: N802
    host: str = "localhost",
    port: int = 50051,
    ssl: bool = False,
    headers: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    tenant: str = TENANT,
    database: str = DATABASE,
) -> ClientAPI:
    """A client of the server at `host`, on its gRPC port. The key of a server with keys is taken from the headers
    `x-api-key`, `x-chroma-token` or `authorization: Bearer …`."""
    check_only_database(tenant, database)
    client = pykyro.Client(f"{host}:{port}", api_key=_key(headers or {}), tls=bool(ssl))
    return ClientAPI(client, client, settings or Settings())


def AsyncHttpClient(*given: object, **named: object) -> NoReturn:  # noqa: N802
    """Not here: raises NotSupported."""
    raise NotSupported(
        "AsyncHttpClient: call HttpClient's methods by asyncio.to_thread, or use pykyro.AsyncClient"
    )


def CloudClient(*given: object, **named: object) -> NoReturn:  # noqa: N802
    """Not here: raises NotSupported."""
    raise NotSupported("CloudClient: start kyrodb_server, and use HttpClient(host, port)")


def _key(headers: Mapping[str, str]) -> str | None:
    own = {name.lower(): value for name, value in headers.items()}
    for name in _KEY_HEADERS:
        if name in own:
            return own[name].removeprefix("Bearer ")
    return None


def _check_is_not_of_chroma(path: str | PathLike[str]) -> None:
    if os.path.exists(os.path.join(path, "chroma.sqlite3")):
        raise NotSupported(
            f"{os.fspath(path)} is a directory of Chroma: name a new one, and fill it by kyrodb import --from chroma"
        )


def _end_ephemeral(process: int, directory: str) -> None:
    """At the end of the process; in a forked child it is the parent's."""
    opened = _ephemeral.pop(process, None) if process == os.getpid() else None
    if opened is not None:
        opened.close()
        shutil.rmtree(directory, ignore_errors=True)
