"""Stores of one process share a directory, which is open for as long as one of them uses it."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

import pykyro
from pykyro.integrations.places import Place


def test_the_last_one_closes_it(tmp_path: Path) -> None:
    one, two = Place(path=tmp_path / "data"), Place(path=str(tmp_path / "x" / ".." / "data"))
    assert one.database is two.database
    one.close()
    one.close()  # counts once
    two.create("pages", 2, "cosine")
    two.close()
    with pytest.raises(pykyro.Unavailable, match="the database is closed"):
        two.create("more", 2, "cosine")
    with pykyro.open(tmp_path / "data") as database:  # nobody holds it any more
        assert [info.name for info in database.collections()] == ["pages"]


def test_one_that_is_forgotten_holds_nothing(tmp_path: Path) -> None:
    place = Place(path=tmp_path / "data")
    Place(path=tmp_path / "data")
    gc.collect()
    assert place.database.collections() == []  # type: ignore[union-attr]
    del place
    gc.collect()
    pykyro.open(tmp_path / "data").close()


def test_a_closed_one_is_not_used_by_the_next(tmp_path: Path) -> None:
    closed = Place(path=tmp_path / "data")
    closed.close()
    place = Place(path=tmp_path / "data")
    closed.close()
    other = Place(path=tmp_path / "data")
    assert other.database is place.database is not closed.database
    place.close()
    other.close()


def test_a_forked_child_does_not_take_its_parents(tmp_path: Path) -> None:
    program = """
import os, sys
import pykyro
from pykyro.integrations.places import Place

place = Place(path=sys.argv[1])
child = os.fork()
if not child:
    try:
        Place(path=sys.argv[1])
    except pykyro.DataDirInUse:
        os._exit(7)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
place.close()
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "data"], check=True)
