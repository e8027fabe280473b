"""What a program says of its collections and its client: the distance, the graph, Settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pykyro.integrations.chroma.errors import InvalidArgumentError, NotSupported
from pykyro.integrations.chroma.registry import SPACES

TENANT: Final = "default_tenant"
DATABASE: Final = "default_database"
_OF_GRAPH: Final = {
    "hnsw:construction_ef": "ef_construction",
    "hnsw:M": "m",
    "hnsw:search_ef": "ef_search",
    "ef_construction": "ef_construction",
    "max_neighbors": "m",
    "ef_search": "ef_search",
}
"""Settings of the graph by their names in `metadata` and in `configuration`. Others tune Chroma's own files."""


class Settings:
    """Settings by name, as attributes. `is_persistent`, `persist_directory` and `allow_reset` have an effect here;
    others are accepted."""

    def __init__(self, **named: Any) -> None:
        self.is_persistent = False
        self.persist_directory = "./chroma"
        self.allow_reset = False
        self.__dict__.update(named)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def hnsw_settings(metadata: Mapping[str, Any] | None, configuration: Any) -> dict[str, Any]:
    """`space`, and what else is said of the graph. Raises InvalidArgumentError."""
    said = dict(metadata or {})
    if isinstance(configuration, Mapping):
        said |= dict(configuration.get("hnsw") or {})
    elif configuration is not None:
        raise NotSupported(f"configuration must be a dict here, got {type(configuration).__name__}")
    space = said.get("space", said.get("hnsw:space", "l2"))
    if space not in SPACES:
        raise InvalidArgumentError(f"hnsw:space must be one of {', '.join(SPACES)}, got {space!r:.100}")
    return {"space": space} | {own: said[name] for name, own in _OF_GRAPH.items() if name in said}


def check_only_database(tenant: str, database: str) -> None:
    """Raise NotSupported for any tenant and database but the default ones."""
    if (tenant, database) != (TENANT, DATABASE):
        raise NotSupported(
            f"tenant {tenant!r:.100} and database {database!r:.100}: there is one database here; keep another in "
            "another directory, or give each tenant an API key of the server (docs/tenancy.md)"
        )
