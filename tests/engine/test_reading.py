"""A reader follows a writer through seals, merges, restarts and documents that expire: after each step it holds what
the writer holds. More histories: KYRODB_READER_HISTORIES=500."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from tests.patience import wait_until

import pykyro
from pykyro.embedded.collections import Database
from pykyro.model.expiry import NEVER_US

HISTORIES = int(os.environ.get("KYRODB_READER_HISTORIES", "6"))


def _same(writer: Database, reader: Database, chance: random.Random) -> None:
    assert writer._engine is not None
    engine = writer._engine
    # Those that expire do so at once; afterwards nothing changes by itself.
    wait_until(lambda: engine.documents >= 0 and engine.expires_from_us == NEVER_US)
    assert reader.count() == writer.count()
    shown = {one.id: (one.metadata, one.position) for one in reader.documents()}
    assert shown == {one.id: (one.metadata, one.position) for one in writer.documents()}
    vector = [chance.uniform(-1, 1) for _ in range(4)]
    found = [(hit.id, hit.score) for hit in reader.search(vector, k=20, exact=True)]
    assert found == [(hit.id, hit.score) for hit in writer.search(vector, k=20, exact=True)]
    condition = {"n": {"$gte": 50}}
    assert reader.count(filter=condition) == writer.count(filter=condition)


def _maintain(writer: Database) -> None:
    """Have merges that are due begun and finished."""
    assert writer._engine is not None
    engine = writer._engine
    wait_until(lambda: not engine.maintain() and not engine.merging)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_reader_holds_what_the_writer_holds(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    text, retention = chance.random() < 0.3, chance.choice([0, 1 << 20])

    def opened() -> Database:
        return pykyro.open(
            tmp_path,
            dimension=4,
            id_type="text" if text else "integer",
            background=False,
            wal_retention_bytes=retention,
        )

    def own_id() -> int | str:
        number = chance.randint(1, 60)
        return f"id {number}" if text else number

    writer = opened()
    readers = [pykyro.open(tmp_path, read_only=True, background=False) for _ in range(2)]
    for step in range(60):
        deed = chance.random()
        if deed < 0.5:
            for _ in range(chance.randint(1, 12)):
                vector = np.array([chance.uniform(-1, 1) for _ in range(4)], np.float32)
                ttl = 1e-3 if chance.random() < 0.05 else None
                writer.insert(own_id(), vector, {"n": step}, ttl=ttl)
        elif deed < 0.65:
            writer.delete_many([own_id() for _ in range(chance.randint(1, 5))])
        elif deed < 0.75:
            writer.update_metadata(own_id(), {"m": step}, merge=chance.random() < 0.5)
        elif deed < 0.85:
            writer.flush()
        elif deed < 0.95:
            _maintain(writer)
        else:
            writer.close()
            writer = opened()
        _same(writer, readers[0], chance)
        if chance.random() < 0.15:
            _same(writer, readers[1], chance)
    _same(writer, readers[1], chance)
    for database in (*readers, writer):
        database.close()
