"""The MANIFEST of an open database: numbers, failed updates, and what may be removed when."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.clock import FakeClock
from tests.crash.fault_filesystem import Fault, FaultFS

from pykyro.model.types import Metric
from pykyro.storage.manifest import Manifest, WalEntry, read_manifest
from pykyro.storage.manifest_store import SESSION_GAP, ManifestStore

ROOT = Path("/")


def store(disk: FaultFS) -> ManifestStore:
    first = Manifest(dimension=4, metric=Metric.COSINE, history="h", next_number=5, sealed_lsn=0)
    return ManifestStore(disk, ROOT, FakeClock(), first)


def named(name: str) -> WalEntry:
    return WalEntry(name=f"wal_{name}.wal", base_lsn=1)


def only(*names: str) -> tuple[WalEntry, ...]:
    return tuple(named(name) for name in names)


def set_wal(manifests: ManifestStore, *names: str) -> None:
    manifests.update(lambda manifest: manifest.model_copy(update={"wal": only(*names)}))


def test_numbers_are_never_given_out_twice_and_reach_the_disk() -> None:
    disk = FaultFS()
    manifests = store(disk)
    numbers = [manifests.take_number() for _ in range(3)]
    assert numbers == [5 + SESSION_GAP + n for n in range(3)]
    set_wal(manifests, "1")
    assert read_manifest(disk, ROOT).next_number == numbers[-1] + 1


def test_failed_update_leaves_the_current_state_and_the_next_one_settles_it() -> None:
    disk = FaultFS()
    manifests = store(disk)
    set_wal(manifests, "1")
    disk.faults = [Fault(len(disk.calls) + 5, "error")]  # the rename took place, its directory sync failed
    with pytest.raises(OSError, match="Input/output"):
        set_wal(manifests, "1", "2")
    assert manifests.current.wal == only("1")
    assert read_manifest(disk, ROOT).wal == only("1", "2")
    set_wal(manifests, "1", "3")
    assert read_manifest(disk, ROOT).wal == manifests.current.wal == only("1", "3")


def test_files_of_a_failed_update_are_obsolete_only_after_the_next_one() -> None:
    disk = FaultFS()
    manifests = store(disk)
    set_wal(manifests, "1")
    disk.faults = [Fault(len(disk.calls) + 4, "error")]
    with pytest.raises(OSError, match="Input/output"):
        set_wal(manifests, "2")
    assert manifests.take_obsolete() == set()
    set_wal(manifests, "3")
    assert manifests.take_obsolete() == {"wal_1.wal", "wal_2.wal"}
    assert manifests.take_obsolete() == set()


def test_file_named_again_is_not_obsolete() -> None:
    disk = FaultFS()
    manifests = store(disk)
    set_wal(manifests, "1")
    disk.faults = [Fault(len(disk.calls) + 4, "error")]
    with pytest.raises(OSError, match="Input/output"):
        set_wal(manifests, "1", "2")
    set_wal(manifests, "1", "2")
    assert manifests.take_obsolete() == set()


def test_abandoned_files_wait_while_a_failed_update_may_name_them() -> None:
    disk = FaultFS()
    manifests = store(disk)
    set_wal(manifests, "1")
    disk.faults = [Fault(len(disk.calls) + 4, "error")]
    with pytest.raises(OSError, match="Input/output"):
        set_wal(manifests, "1", "2")
    manifests.abandon(["wal_1.wal", "wal_2.wal", "wal_3.wal"])
    assert manifests.take_obsolete() == {"wal_3.wal"}
    set_wal(manifests, "1")
    assert manifests.take_obsolete() == {"wal_2.wal"}
