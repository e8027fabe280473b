"""An engine on a disk that is running full: documents are refused, deletes and reads go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.clock import FakeClock
from tests.engine.opening import DIMENSION, nearest, put, vectors

from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import ResourceExhausted, Unavailable
from pykyro.model.requests import Ack, Delete, UpdateMetadata
from pykyro.storage.files.disk_space import INTERVAL_S
from pykyro.storage.files.filesystem import LocalFileSystem


class Disk(LocalFileSystem):
    """The real disk, which says that it has so much room."""

    free = 1 << 30

    def free_bytes(self, path: Path) -> tuple[int, int]:
        return self.free, 10 << 30


def test_new_documents_are_refused_and_deletes_accepted_until_there_is_room(tmp_path: Path) -> None:
    disk, clock = Disk(), FakeClock()
    options = EngineOptions(dimension=DIMENSION, background=False)
    engine = open_engine(
        tmp_path / "data", options, filesystem=disk, clock=clock, builder=InlineBuilder(disk)
    )
    rows = vectors(4)
    engine.commit([put(at + 1, rows[at]) for at in range(2)])
    disk.free = 1 << 20
    clock.advance(INTERVAL_S)

    refused, deleted, updated = engine.commit([put(3, rows[2]), Delete(2), UpdateMetadata(1, {"a": "b"})])
    assert isinstance(deleted, Ack)
    for answer in (refused, updated):
        assert isinstance(answer, Unavailable)
        assert "disk space critically low (< 5%)" in str(answer)
    assert nearest(engine, rows[0]) == [1]
    assert engine.stats().refusing_writes == str(refused)
    assert engine.stats().disk_free_bytes == 1 << 20
    with pytest.raises(ResourceExhausted, match="critically low"):
        engine.snapshot()
    assert engine.flush().documents == 1

    disk.free = 5 << 30
    clock.advance(INTERVAL_S)
    engine.write(put(3, rows[2]))
    assert engine.stats().refusing_writes == ""
    engine.close()
