"""The first merge of a directory raises its format before its record is in the log, whatever fails."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept, AllLost, Loss, OneLost
from tests.crash.fault_filesystem import Fault, FaultFS, PowerCut
from tests.crash.session import DATA, open_on
from tests.engine.opening import put

from pykyro.engine.engine import Engine
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import KyroError
from pykyro.model.requests import UpdateMetadata
from pykyro.storage import filename
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal.chain import WalChain
from pykyro.storage.wal.records import MergeRecord

OPTIONS = EngineOptions(dimension=4, background=False)
CALLS = 9
"""More than the first merge makes: MANIFEST is replaced, the log is written and synced."""


def prepared() -> tuple[FaultFS, Engine]:
    disk = FaultFS()
    engine = open_on(disk, OPTIONS, FakeClock())
    engine.write(put(1, np.ones(4, np.float32), colour="red"))
    return disk, engine


def has_merges(disk: FaultFS) -> bool:
    """Whether the log holds one."""
    manifest = read_manifest(disk, DATA)
    chain = WalChain(disk, DATA, manifest)
    return any(
        isinstance(record, MergeRecord)
        for entry in manifest.wal
        for frame in chain.read(entry).operations
        for record in chain.decode(entry, frame)
    )


def require_sound(disk: FaultFS, *, acknowledged: bool) -> str:
    if has_merges(disk):
        assert read_manifest(disk, DATA).format == 3
    engine = open_on(disk, OPTIONS, FakeClock())
    found = engine.get(1)
    assert found is not None
    assert found.metadata in ({"colour": "red"}, {"colour": "blue"})
    assert found.metadata == {"colour": "blue"} or not acknowledged
    engine.close()
    return found.metadata["colour"]


@pytest.mark.parametrize("after", range(CALLS))
def test_power_fails_at_each_call(after: int) -> None:
    disk, engine = prepared()
    disk.faults = [Fault(len(disk.calls) + after, "cut")]
    acknowledged = False
    with contextlib.suppress(PowerCut, KyroError):
        acknowledged = engine.write(UpdateMetadata(1, {"colour": "blue"}, merge=True)).existed == 1
    losses: list[Loss] = [AllLost(), AllKept(), *map(OneLost, disk.pending_units)]
    for loss in losses:
        require_sound(disk.crash(loss), acknowledged=acknowledged)


@pytest.mark.parametrize("after", range(CALLS))
@pytest.mark.parametrize("kind", ["error", "late-error"])
def test_the_disk_fails_at_each_call(after: int, kind: str) -> None:
    disk, engine = prepared()
    disk.faults = [Fault(len(disk.calls) + after, kind)]
    acknowledged = False
    with contextlib.suppress(KyroError):
        acknowledged = engine.write(UpdateMetadata(1, {"colour": "blue"}, merge=True)).existed == 1
    disk.faults = []
    assert acknowledged or engine.stats().refusing_writes
    require_sound(disk.crash(AllKept()), acknowledged=acknowledged)
    require_sound(disk.crash(AllLost()), acknowledged=acknowledged)


def test_it_takes_no_more_than_that_and_the_second_merge_does_not_replace_the_manifest() -> None:
    disk, engine = prepared()
    before = len(disk.calls)
    engine.write(UpdateMetadata(1, {"colour": "blue"}, merge=True))
    first = [str(call) for call in disk.calls[before:]]
    engine.write(UpdateMetadata(1, {"colour": "green"}, merge=True))
    second = [str(call) for call in disk.calls[before + len(first) :]]
    assert len(first) <= CALLS
    assert any("replace " + filename.MANIFEST in call for call in first)
    assert first.index("replace " + filename.MANIFEST) < len(first) - 2
    assert not any(filename.MANIFEST in call for call in second)
    engine.close()
