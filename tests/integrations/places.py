"""Every way in which a store can reach its database, for tests that must hold for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykyro

KINDS = ["path", "url", "database", "collection", "client", "remote collection"]


@contextlib.contextmanager
def place(kind: str, directory: Path, target: str, dimension: int) -> Iterator[dict[str, Any]]:
    """Arguments of a store that lead to an empty collection `kept` of this kind of place."""
    if kind == "path":
        yield {"path": directory, "collection": "kept"}
    elif kind in ("database", "collection"):
        with pykyro.open(directory) as database:
            if kind == "database":
                yield {"database": database, "collection": "kept"}
            else:
                yield {"database": database.create_collection("kept", dimension, id_type="text")}
    else:
        with pykyro.Client(target) as client:
            if "kept" in [info.name for info in client.collections()]:
                client.drop_collection("kept")
            if kind == "url":
                yield {"url": target, "collection": "kept"}
            elif kind == "client":
                yield {"database": client, "collection": "kept"}
            else:
                yield {"database": client.create_collection("kept", dimension, id_type="text")}
