"""Engines whose documents are moved, and what they hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.engine.opening import fill, open_small, vectors
from tests.engine.remote.postgres import Postgres

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine
from pykyro.engine.options import CacheOptions, RemoteOptions
from pykyro.model.cold_tier import ColdTier
from pykyro.model.filter import Exact
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import EVERYTHING, Document, Scope

ROWS = vectors(600)
LOCAL = ColdTier()
Documents = dict[tuple[int | None, int], tuple[bytes, dict[str, str]]]


class Killed(BaseException):
    """Nobody expects it."""


def opened(path: Path, services: Path, **options: Any) -> Engine:
    return open_small(
        path,
        remote=RemoteOptions(services_file=services),
        ef_construction=40,
        cache=CacheOptions(query_mode=Mode.OFF),
        **options,
    )


def filled(path: Path, services: Path) -> Engine:
    """With several segments, deleted rows, updates, tenants, and some that is not sealed."""
    engine = opened(path, services)
    for part in range(3):
        fill(
            engine, ROWS[100 * part : 100 * part + 100], first_id=1 + 100 * part, metadata={"part": str(part)}
        )
        for doc_id in range(5 + 30 * part, 15 + 30 * part):
            engine.write(Delete(doc_id))
        engine.flush()
    numbers = engine.tenant_indices(["one"])
    scope = Scope(numbers["one"])
    for doc_id in range(1, 20):
        engine.write(Put(Document(doc_id, ROWS[-doc_id], {**scope.constraints, "own": "x"}, numbers["one"])))
    engine.flush()
    for doc_id in (100, 200, 250):
        engine.write(UpdateMetadata(doc_id, {"more": "x"}, True))
        engine.write(Delete(doc_id + 1))
        engine.write(Put(Document(doc_id + 2, ROWS[doc_id + 50], {"new": "y"})))
    return engine


def documents(engine: Engine) -> Documents:
    found: Documents = {}
    numbers = engine.tenant_indices(list(engine.tenant_documents())).values()
    for scope in (EVERYTHING, *map(Scope, numbers)):
        for one in engine.listing.page(PageRequest(10_000, None, scope)).documents:
            assert isinstance(one.doc_id, int)
            document = engine.get(one.doc_id, scope, cached=False)
            assert document is not None
            found[scope.tenant, one.doc_id] = document.vector.tobytes(), dict(document.metadata)
    return found


def is_elsewhere(engine: Engine) -> bool:
    return engine.asks_elsewhere


def answers(engine: Engine) -> list[Any]:
    found = []
    for row in ROWS[::60]:
        for condition in (None, Exact("part", "1")):
            result = engine.search(SearchRequest(row, 7, filter=condition, exact=True))
            found.append([(hit.doc_id, hit.score) for hit in result.hits])
    return found


def tables(postgres: Postgres) -> list[str]:
    if postgres.execute("SELECT to_regclass('kyrodb.collections')") == [(None,)]:
        return []
    return [name for (name,) in postgres.execute("SELECT id FROM kyrodb.collections")]


def killed(engine: Engine, to: ColdTier, step: str, tmp_path: Path, postgres: Postgres) -> Path:
    """What the disk holds when the process dies at that step."""
    path = tmp_path / "killed"

    def die(at: str) -> None:
        if at == step:
            shutil.copytree(engine.directory, path)
            raise Killed

    with pytest.raises(Killed):
        engine.move(to, die)
    engine.close()
    postgres.cut()
    return path
