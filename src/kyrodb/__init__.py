"""KyroDB: a durable vector database with filtered search.

Embedded in the program, or as a client of a server; the methods are the same:

    import kyrodb

    db = kyrodb.open("data", dimension=384)            # in this process
    db = kyrodb.Client("localhost:50051")              # a server's
    db = kyrodb.AsyncClient("localhost:50051")         # a server's, to be awaited

Names are loaded when they are first used, so that `import kyrodb` costs nothing and a client does not load the
engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from kyrodb.version import __version__

if TYPE_CHECKING:
    from kyrodb.client.async_client import AsyncClient
    from kyrodb.client.sync_client import Client
    from kyrodb.client.tls import Tls
    from kyrodb.embedded.database import Database
    from kyrodb.embedded.database import open_database as open
    from kyrodb.engine.requests import FlushReport, Tier
    from kyrodb.errors import (
        ConfigError,
        DataDamaged,
        DataDirInUse,
        DataDirMismatch,
        DeadlineExceeded,
        FailedPrecondition,
        InvalidArgument,
        KyroError,
        PermissionDenied,
        ResourceExhausted,
        StorageError,
        Unauthenticated,
        Unavailable,
        WriteFailed,
    )
    from kyrodb.interface.answers import (
        Health,
        Hit,
        InsertReport,
        Refusal,
        SearchAnswer,
        Snapshot,
        Stats,
        StoredDocument,
    )

__all__ = [
    "AsyncClient",
    "Client",
    "ConfigError",
    "DataDamaged",
    "DataDirInUse",
    "DataDirMismatch",
    "Database",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FlushReport",
    "Health",
    "Hit",
    "InsertReport",
    "InvalidArgument",
    "KyroError",
    "PermissionDenied",
    "Refusal",
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
]

_ANSWERS: Final = "kyrodb.interface.answers"
_REQUESTS: Final = "kyrodb.engine.requests"
_HOMES: Final = {
    "open": "kyrodb.embedded.database",
    "Database": "kyrodb.embedded.database",
    "Client": "kyrodb.client.sync_client",
    "AsyncClient": "kyrodb.client.async_client",
    "Tls": "kyrodb.client.tls",
    "Health": _ANSWERS,
    "Hit": _ANSWERS,
    "InsertReport": _ANSWERS,
    "Refusal": _ANSWERS,
    "SearchAnswer": _ANSWERS,
    "Snapshot": _ANSWERS,
    "Stats": _ANSWERS,
    "StoredDocument": _ANSWERS,
    "FlushReport": _REQUESTS,
    "Tier": _REQUESTS,
}
"""Where a name comes from; one that is not here is an error's."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'kyrodb' has no attribute {name!r}")
    home = import_module(_HOMES.get(name, "kyrodb.errors"))
    value: object = getattr(home, "open_database" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
