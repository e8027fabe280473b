"""Snapshots: hard links that open as a database of their own, and last."""

from __future__ import annotations

import pytest
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.storage.opening import DATA, OpenLog, open_log, put

from pykyro.storage.manifest import read_manifest
from pykyro.storage.snapshot import (
    link_snapshot,
    prune_snapshots,
    remove_snapshot,
    snapshot_names,
    unused_name,
)
from pykyro.storage.verify import verify_directory

NAME = "20260101T000000Z"
PLACE = DATA / "snapshots" / NAME


def log_with_two_segments(disk: FaultFS) -> OpenLog:
    opened = open_log(disk)
    opened.log.append([put(1)])
    opened.log.rotate()
    opened.log.append([put(2)])
    return opened


def test_snapshot_holds_what_was_closed_and_nothing_that_is_open() -> None:
    disk = FaultFS()
    opened = log_with_two_segments(disk)
    linked = link_snapshot(disk, DATA, opened.recovery.manifest, NAME)
    assert verify_directory(disk, linked.path).damage == []
    assert linked.size_bytes == sum(disk.size(linked.path / name) for name in disk.names(linked.path))
    assert open_log(disk.crash(AllLost()), directory=PLACE).contents == [put(1)]


def test_snapshot_outlives_the_files_it_was_made_of() -> None:
    disk = FaultFS()
    opened = log_with_two_segments(disk)
    link_snapshot(disk, DATA, opened.recovery.manifest, NAME)
    for entry in opened.recovery.manifest.wal:
        disk.remove(DATA / entry.name)
    disk.sync_directory(DATA)
    assert open_log(disk.crash(AllLost()), directory=PLACE).contents == [put(1)]


@pytest.mark.parametrize("call", range(12))
def test_snapshot_that_fails_leaves_nothing_that_counts_as_one(call: int) -> None:
    disk = FaultFS()
    opened = log_with_two_segments(disk)
    manifest = opened.recovery.manifest
    disk.faults = [Fault(len(disk.calls) + call, "error")]
    try:
        link_snapshot(disk, DATA, manifest, NAME)
    except OSError:
        assert snapshot_names(disk, DATA) == []
        disk.heal()
        link_snapshot(disk, DATA, manifest, unused_name(disk, DATA, NAME))
    assert len(snapshot_names(disk.crash(AllLost()), DATA)) == 1


def test_names_are_unused_ones() -> None:
    disk = FaultFS()
    opened = log_with_two_segments(disk)
    names = []
    for _ in range(3):
        names.append(unused_name(disk, DATA, NAME))
        link_snapshot(disk, DATA, opened.recovery.manifest, names[-1])
    assert names == [NAME, f"{NAME}-2", f"{NAME}-3"]
    assert snapshot_names(disk, DATA) == names


@pytest.mark.parametrize("kept", [1, 2, 3, 5])
def test_pruning_keeps_the_youngest(kept: int) -> None:
    disk = FaultFS()
    opened = open_log(disk)
    names = [f"2026010{day}T000000Z" for day in range(1, 5)]
    for name in names:
        opened.log.append([put(1)])
        opened.log.rotate()
        link_snapshot(disk, DATA, opened.recovery.manifest, name)
    prune_snapshots(disk, DATA, newest=names[-1], kept=kept)
    assert snapshot_names(disk, DATA) == names[-kept:]


def test_snapshot_with_a_damaged_manifest_is_none_and_is_kept_for_the_operator() -> None:
    disk = FaultFS()
    opened = log_with_two_segments(disk)
    link_snapshot(disk, DATA, opened.recovery.manifest, NAME)
    disk.flip(PLACE / "MANIFEST", 1000)
    link_snapshot(disk, DATA, opened.recovery.manifest, f"{NAME}-2")
    prune_snapshots(disk, DATA, newest=f"{NAME}-2", kept=1)
    assert snapshot_names(disk, DATA) == [f"{NAME}-2"]
    assert disk.exists(PLACE / "MANIFEST")


def test_removal_takes_the_manifest_first() -> None:
    disk = FaultFS()
    opened = log_with_two_segments(disk)
    link_snapshot(disk, DATA, opened.recovery.manifest, NAME)
    start = len(disk.calls)
    remove_snapshot(disk, DATA, NAME)
    changes = [str(call) for call in disk.calls[start:] if call.name != "names"]
    assert changes[:2] == ["remove MANIFEST", f"sync_directory {NAME}"]
    assert disk.names(DATA / "snapshots") == []
    assert read_manifest(disk, DATA).wal
