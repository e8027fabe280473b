"""The short form of the cuts and errors in the life of collections: one loss at every call."""

from __future__ import annotations

from tests.crash.collections_rig import disk_errors, power_cuts


def test_a_power_cut_at_every_step() -> None:
    assert power_cuts(1, each=False) > 250


def test_a_disk_error_at_every_step_loses_nothing() -> None:
    assert disk_errors(1) > 250
