"""A clock that is wrong beyond all bounds leaves a database and backups that can be read when it is right again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import pykyro
from pykyro.cli.kyrodb_backup import main

YEAR_S = 31_556_952


@pytest.mark.parametrize("years", [-100, -10_000, 200, 8_500])
def test_database_and_backups_of_a_clock_outside_the_calendar(
    tmp_path: Path, years: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right_ns, right_s = time.time_ns, time.time
    places = ("--data-dir", str(tmp_path / "data"), "--backup-dir", str(tmp_path / "backups"))

    def write(doc_id: int) -> None:
        with pykyro.open(tmp_path / "data", dimension=2) as database:
            database.insert(doc_id, [1.0, 2.0])
            database.flush()
            database.snapshot()

    write(1)
    assert main(["create", *places]) == 0
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: right_ns() + years * YEAR_S * 10**9)
        wrong.setattr(time, "time", lambda: right_s() + years * YEAR_S)
        write(2)
        assert main(["create", "--incremental", *places]) == 0
        assert main(["list", "--format", "json", *places]) == 0
        assert main(["verify", "--newest", "--deep", *places]) == 0
        assert main(["prune", *places]) == 0
    write(3)
    assert main(["create", "--incremental", *places]) == 0
    assert main(["list", *places]) == 0
    assert main(["verify", "--newest", "--deep", *places]) == 0
    assert main(["prune", *places]) == 0
    with pykyro.open(tmp_path / "data", dimension=2) as database:
        assert database.stats().documents == 3
