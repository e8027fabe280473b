"""Two names swapped in one step by the real system."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pykyro.storage.files.exchange_names import exchange_names


def test_directories_and_files_change_places(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "inside").write_text("1")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "inside").write_text("2")
    exchange_names(tmp_path / "one", tmp_path / "two")
    assert [(tmp_path / name / "inside").read_text() for name in ("one", "two")] == ["2", "1"]
    (tmp_path / "file").write_text("3")
    exchange_names(tmp_path / "file", tmp_path / "one")
    assert (tmp_path / "one").read_text() == "3"


def test_missing_name_is_an_error_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        exchange_names(tmp_path / "one", tmp_path / "two")
    assert caught.value.errno == errno.ENOENT
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "one"), str(tmp_path / "two"))
