"""QdrantClient: a directory of this process, or a server, by Qdrant's calls."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from os import PathLike
from typing import Any, Final, Self
from urllib.parse import urlsplit

import pykyro
from pykyro.integrations.places import SyncDatabase
from pykyro.integrations.qdrant.collections import CollectionCalls
from pykyro.integrations.qdrant.errors import NotSupported
from pykyro.integrations.qdrant.queries import PointQueries
from pykyro.integrations.qdrant.writes import PointWrites
from pykyro.integrations.shared_directories import SharedDirectory

_PORT: Final = 50051
_WITHOUT_EFFECT: Final = (
    "prefer_grpc",
    "force_disable_check_same_thread",
    "check_compatibility",
    "grpc_options",
)


class QdrantClient(CollectionCalls, PointQueries, PointWrites):
    """The calls that most programs make of qdrant_client.QdrantClient.

    With `path` the directory is opened in this process; clients of one process that name the same share it. With
    ":memory:" there is a database of this client alone, in the directory for temporary files, which goes with it.
    `url`, or `host` and `port`, lead to the gRPC port of a kyrodb_server, 50051 unless it is said.
    """

    def __init__(
        self,
        location: str | None = None,
        url: str | None = None,
        port: int | None = None,
        grpc_port: int | None = None,
        prefer_grpc: bool = False,
        https: bool | None = None,
        api_key: str | None = None,
        prefix: str | None = None,
        timeout: float | None = None,
        host: str | None = None,
        path: str | PathLike[str] | None = None,
        **others: Any,
    ) -> None:
        """Raises NotSupported for an argument that is not here; what `pykyro.open` and `pykyro.Client` raise."""
        for name, value in {"prefix": prefix, **others}.items():
            if value is not None and name not in _WITHOUT_EFFECT:
                raise NotSupported(f"QdrantClient({name}=…) is not here: leave it out")
        named = [one for one in (location, url, host, path) if one is not None]
        if len(named) > 1:
            raise ValueError("Only one of <location>, <url>, <host> or <path> should be specified.")
        self._opened: SharedDirectory | pykyro.Client
        database: SyncDatabase
        if path is not None or location == ":memory:":
            self._opened = _temporary(self) if path is None else SharedDirectory(path, typed_values=True)
            database = self._opened.database
        else:
            target, tls = _target(location or url or host or "localhost", grpc_port or port, https)
            timeout_s = 30.0 if timeout is None else float(timeout)
            self._opened = database = pykyro.Client(target, api_key=api_key, tls=tls, timeout_s=timeout_s)
        super().__init__(database)

    def close(self, grpc_grace: float | None = None, **others: Any) -> None:
        """Close what this client opened; what another client of this process uses as well stays open."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncQdrantClient:
    """The calls of QdrantClient, to be awaited: each is made in a thread, so the event loop goes on meanwhile."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """As for QdrantClient."""
        self._client: Final = QdrantClient(*given, **named)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(*given: Any, **named: Any) -> Any:
            return await asyncio.to_thread(method, *given, **named)

        return call


def _temporary(owner: QdrantClient) -> SharedDirectory:
    directory = tempfile.mkdtemp(prefix="pykyro-memory-")
    opened = SharedDirectory(directory, typed_values=True, sync="none")
    weakref.finalize(owner, _remove, opened, directory)
    return opened


def _remove(opened: SharedDirectory, directory: str) -> None:
    opened.close()
    shutil.rmtree(directory, ignore_errors=True)


def _target(place: str, port: int | None, https: bool | None) -> tuple[str, bool]:
    """host:port, and whether TLS is spoken."""
    parts = urlsplit(place if "://" in place else f"//{place}")
    tls = parts.scheme == "https" if https is None else https
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or port or _PORT}", tls
