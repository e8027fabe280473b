"""Databases with collections, for tests: on any disk, with a default collection and engines that do nothing by
themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pykyro.database.collections import Collections
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.collection import CollectionConfig
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem

DIMENSION = 4
SMALL = CollectionConfig(DIMENSION)
BASE = EngineOptions(dimension=DIMENSION, background=False)


def opened(path: Path, filesystem: FileSystem | None = None, **options: Any) -> Collections:
    """The collections of the database in `path`; `shut` closes it with its default engine."""
    filesystem = filesystem or LocalFileSystem()
    default = open_engine(path, BASE, filesystem=filesystem, builder=InlineBuilder(filesystem))
    try:
        return Collections(
            path, default, BASE, filesystem=filesystem, builder=InlineBuilder(filesystem), **options
        )
    except BaseException:
        default.close()
        raise


def shut(collections: Collections) -> None:
    collections.close()
    collections.default_engine.close()


def store(collections: Collections, name: str, *doc_ids: int) -> None:
    with collections.using(name) as engine:
        for doc_id in doc_ids:
            vector = np.full(engine.schema.dimension, doc_id, np.float32)
            engine.write(Put(Document(doc_id, vector, {"of": name})))


def found(collections: Collections, name: str) -> list[int]:
    """Ids of all documents of a collection."""
    with collections.using(name) as engine:
        return found_in(engine)


def found_in(engine: Engine) -> list[int]:
    query = np.ones(engine.schema.dimension, np.float32)
    return sorted(hit.doc_id for hit in engine.search(SearchRequest(query, 100, exact=True)).hits)
