"""Numbers the operating system gives about this very process."""

from __future__ import annotations

from pathlib import Path

from pykyro.telemetry.process import ProcessProbe


def test_process_measures_itself(tmp_path: Path) -> None:
    probe = ProcessProbe(tmp_path)
    # Something to be charged for: processor times are counted in hundredths of a second.
    while not probe.cpu_percent():
        sum(range(100_000))
    assert probe.uptime_s > 0
    assert probe.resident_bytes() > 1 << 20
    assert probe.disk_used_bytes() > 0


def test_disk_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    assert ProcessProbe(tmp_path / "later").disk_used_bytes() == 0
