"""KyroDB: a durable vector database with filtered search.

Embedded in the program, or as a client of a server; the methods are the same:

    import pykyro

    db = pykyro.open("data", dimension=384)            # in this process
    db = pykyro.Client("localhost:50051")              # a server's
    db = pykyro.AsyncClient("localhost:50051")         # a server's, to be awaited

Names are loaded when they are first used, so that `import pykyro` costs nothing and a client does not load the
engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from pykyro.version import __version__

if TYPE_CHECKING:
    from pykyro.client.async_client import AsyncClient, AsyncCollection
    from pykyro.client.sync_client import Client, RemoteCollection
    from pykyro.client.tls import Tls
    from pykyro.embedded.collections import Collection, Database
    from pykyro.embedded.opening import open_database as open
    from pykyro.model.answers import (
        DocumentPage,
        Facet,
        Group,
        Health,
        Hit,
        InsertReport,
        Refusal,
        SearchAnswer,
        Snapshot,
        Stats,
        StoredDocument,
    )
    from pykyro.model.collection import CollectionConfig, CollectionInfo, Distance, IdType
    from pykyro.model.documents import NewDocument
    from pykyro.model.errors import (
        Aborted,
        AlreadyExists,
        ConfigError,
        DataDamaged,
        DataDirInUse,
        DataDirMismatch,
        DeadlineExceeded,
        FailedPrecondition,
        InvalidArgument,
        KyroError,
        NotFound,
        PermissionDenied,
        ResourceExhausted,
        StorageError,
        Unauthenticated,
        Unavailable,
        WriteFailed,
    )
    from pykyro.model.requests import CompactionReport, FlushReport, MoveReport, Tier
    from pykyro.model.tables import to_arrow, to_pandas

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncCollection",
    "Client",
    "Collection",
    "CollectionConfig",
    "CollectionInfo",
    "CompactionReport",
    "ConfigError",
    "DataDamaged",
    "DataDirInUse",
    "DataDirMismatch",
    "Database",
    "DeadlineExceeded",
    "Distance",
    "DocumentPage",
    "Facet",
    "FailedPrecondition",
    "FlushReport",
    "Group",
    "Health",
    "Hit",
    "IdType",
    "InsertReport",
    "InvalidArgument",
    "KyroError",
    "MoveReport",
    "NewDocument",
    "NotFound",
    "PermissionDenied",
    "Refusal",
    "RemoteCollection",
    "ResourceExhausted",
    "SearchAnswer",
    "Snapshot",
    "Stats",
    "StorageError",
    "StoredDocument",
    "Tier",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "WriteFailed",
    "__version__",
    "open",
    "to_arrow",
    "to_pandas",
]

_ANSWERS: Final = "pykyro.model.answers"
_REQUESTS: Final = "pykyro.model.requests"
_HOMES: Final = {
    "open": "pykyro.embedded.opening",
    "Collection": "pykyro.embedded.collections",
    "Database": "pykyro.embedded.collections",
    "CollectionConfig": "pykyro.model.collection",
    "CollectionInfo": "pykyro.model.collection",
    "NewDocument": "pykyro.model.documents",
    "Distance": "pykyro.model.collection",
    "IdType": "pykyro.model.collection",
    "to_arrow": "pykyro.model.tables",
    "to_pandas": "pykyro.model.tables",
    "Client": "pykyro.client.sync_client",
    "AsyncClient": "pykyro.client.async_client",
    "AsyncCollection": "pykyro.client.async_client",
    "RemoteCollection": "pykyro.client.sync_client",
    "Tls": "pykyro.client.tls",
    "DocumentPage": _ANSWERS,
    "Facet": _ANSWERS,
    "Group": _ANSWERS,
    "Health": _ANSWERS,
    "Hit": _ANSWERS,
    "InsertReport": _ANSWERS,
    "Refusal": _ANSWERS,
    "SearchAnswer": _ANSWERS,
    "Snapshot": _ANSWERS,
    "Stats": _ANSWERS,
    "StoredDocument": _ANSWERS,
    "CompactionReport": _REQUESTS,
    "FlushReport": _REQUESTS,
    "MoveReport": _REQUESTS,
    "Tier": _REQUESTS,
}
"""Where a name comes from; one that is not here is an error's."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'pykyro' has no attribute {name!r}")
    home = import_module(_HOMES.get(name, "pykyro.model.errors"))
    value: object = getattr(home, "open_database" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
