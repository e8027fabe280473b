"""Counts that outlive the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.crash.disk import RandomLoss
from tests.crash.fault_filesystem import Fault, FaultFS

from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.tenancy.usage import TenantUsage, UsageLedger
from pykyro.tenancy.usage_file import UsageFile, decode_counts, encode_counts

DATA = Path("/data")
_COUNT = st.integers(0, 2**64 - 1)


def opened(filesystem: FileSystem, directory: Path) -> tuple[UsageLedger, UsageFile, str]:
    ledger = UsageLedger()
    file = UsageFile(filesystem, directory, ledger)
    return ledger, file, file.load()


def disk() -> FaultFS:
    filesystem = FaultFS()
    filesystem.make_directory(DATA)
    filesystem.sync_directory(DATA.parent)
    return filesystem


@given(st.dictionaries(st.text(max_size=20), st.tuples(_COUNT, _COUNT, _COUNT)))
def test_counts_read_back(counts: dict[str, tuple[int, int, int]]) -> None:
    assert decode_counts(encode_counts(counts)) == counts


@given(at=st.integers(0, 200), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(at: int, bit: int) -> None:
    data = bytearray(encode_counts({"acme": (1, 2, 3), "globex": (4, 5, 6)}))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(ValueError):
        decode_counts(bytes(data))


@pytest.mark.parametrize("body", [{"a": [1, 2]}, {"a": [1, 2, -1]}, {"a": [1, 2, 2**64]}, {"a": 5}])
def test_what_is_not_three_counts_is_refused(body: dict[str, tuple[int, int, int]]) -> None:
    with pytest.raises(ValueError, match="where three counts belong"):
        decode_counts(encode_counts(body))


def test_counts_go_on_after_a_restart(tmp_path: Path) -> None:
    ledger, file, fault = opened(LocalFileSystem(), tmp_path)
    assert fault == ""
    ledger.of("acme").queries += 3
    assert file.save()
    again, file, fault = opened(LocalFileSystem(), tmp_path)
    assert (again.counts(), fault) == ({"acme": (3, 0, 0)}, "")
    assert not file.save()
    again.of("acme").queries += 1
    assert file.save()


def test_nothing_is_written_while_nothing_changes() -> None:
    filesystem = disk()
    ledger, file, _ = opened(filesystem, DATA)
    ledger.of("idle")
    calls = len(filesystem.calls)
    assert not file.save()
    assert len(filesystem.calls) == calls


@pytest.mark.parametrize("at", range(8))
def test_a_power_cut_leaves_the_old_counts_or_the_new(at: int) -> None:
    filesystem = disk()
    ledger, file, _ = opened(filesystem, DATA)
    ledger.of("acme").queries = 1
    file.save()
    ledger.of("acme").queries = 2
    filesystem.faults.append(Fault(len(filesystem.calls) + at, "error"))
    try:
        saved = file.save()
    except OSError:
        saved = False
    found, _, fault = opened(filesystem.crash(RandomLoss(at)), DATA)
    assert fault == ""
    assert found.counts() in ([{"acme": (2, 0, 0)}] if saved else [{"acme": (1, 0, 0)}, {"acme": (2, 0, 0)}])
    filesystem.heal()
    file.save()
    assert opened(filesystem, DATA)[0].counts() == {"acme": (2, 0, 0)}


def test_a_damaged_file_is_set_aside_and_counting_starts_anew(tmp_path: Path) -> None:
    ledger, file, _ = opened(LocalFileSystem(), tmp_path)
    ledger.of("acme").queries = 1
    file.save()
    path = tmp_path / "tenant_usage.state"
    damaged = path.read_bytes()[:-1] + b"?"
    path.write_bytes(damaged)
    again, file, fault = opened(LocalFileSystem(), tmp_path)
    assert "start from zero" in fault
    assert "tenant_usage.state.damaged" in fault
    assert again.counts() == {}
    assert (tmp_path / "tenant_usage.state.damaged").read_bytes() == damaged
    again.of("acme").queries = 5
    assert file.save()


def test_exports_are_whole_and_the_one_at_shutdown_stays(tmp_path: Path) -> None:
    _, file, _ = opened(LocalFileSystem(), tmp_path)
    file.export([TenantUsage("acme", 1, 1, 0, 1, 32)], 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tenant_usage_latest.csv"]
    file.export([TenantUsage("acme", 2, 1, 0, 1, 32)], 160, at_shutdown=True)
    latest = (tmp_path / "tenant_usage_latest.csv").read_text()
    assert latest.splitlines()[1] == "acme,2,1,0,1,32,0.00,3,160"
    assert (tmp_path / "tenant_usage_shutdown_160.csv").read_text() == latest
    assert len(list(tmp_path.iterdir())) == 2
