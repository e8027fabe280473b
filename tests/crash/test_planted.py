"""Planted defects are caught: here the ones whose check is quick, all of them by `python -m tests.crash.planted`."""

from __future__ import annotations

import pytest
from tests.crash.defect import Defect
from tests.crash.defects import DEFECTS
from tests.crash.planted import CHECKS, caught_by, planted
from tests.regress.test_storage import (
    test_power_cut_never_leaves_a_snapshot_with_a_manifest_and_missing_files,
)


def snapshot_links_before_manifest() -> None:
    test_power_cut_never_leaves_a_snapshot_with_a_manifest_and_missing_files("link")


QUICK = [defect for defect in DEFECTS if defect.suspects[0] == "log" or ":" in defect.suspects[0]]


@pytest.mark.parametrize("defect", QUICK, ids=lambda defect: defect.name.replace(" ", "-"))
def test_defect_is_caught(defect: Defect) -> None:
    assert caught_by(defect), "planted, and every check passed"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name.replace(" ", "-"))
def test_defect_can_still_be_planted(defect: Defect) -> None:
    """The list is of the program as it is now."""
    with planted(defect):
        pass


def test_there_are_enough_of_them_and_each_is_another() -> None:
    assert len(DEFECTS) >= 25
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)
    assert len({edit for defect in DEFECTS for edit in defect.edits}) >= len(DEFECTS)
    assert all(name in CHECKS or ":" in name for defect in DEFECTS for name in defect.suspects)
