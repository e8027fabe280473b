"""Restores onto the root of a volume: refused before anything is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.backup.played import DATA
from tests.backup.test_restore import go_back, require_untouched, with_backup

from pykyro.backup.directory_swap import require_not_mounted
from pykyro.backup.restore import describe_restore
from pykyro.model.errors import FailedPrecondition


@pytest.mark.parametrize("place", ["/", "/proc"])
def test_roots_of_file_systems_are_refused_with_the_way_out(place: str) -> None:
    with pytest.raises(
        FailedPrecondition, match=rf"{place} is the root of a mounted.*--data-dir {place}.*db"
    ):
        require_not_mounted(Path(place))


def test_ordinary_and_missing_directories_are_not(tmp_path: Path) -> None:
    require_not_mounted(tmp_path)
    require_not_mounted(tmp_path / "missing")


def test_restore_and_its_dry_run_are_refused_before_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    past, plan = with_backup()
    before = past.disk.names(DATA.parent)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == DATA)
    for attempt in (lambda: go_back(past, plan), lambda: describe_restore(past.disk, DATA, plan)):
        with pytest.raises(FailedPrecondition, match="root of a mounted file system"):
            attempt()
    assert past.disk.names(DATA.parent) == before
    require_untouched(past)


def test_directory_of_the_same_file_system_that_is_mounted_elsewhere_is_noticed(tmp_path: Path) -> None:
    """What a container engine does with a directory of the host; os.path.ismount does not see it."""
    place = tmp_path / "a place"
    place.mkdir()
    (tmp_path / "other").mkdir()
    program = (
        "import sys, pathlib; from pykyro.backup.directory_swap import require_not_mounted; "
        "require_not_mounted(pathlib.Path(sys.argv[1]))"
    )
    script = 'mount --bind "$1" "$2" || exit 77; exec "$3" -c "$4" "$2"'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path / "other", place, sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 77 or "unshare" in ended.stderr:
        pytest.skip(f"cannot mount: {ended.stderr.strip()}")
    assert f"{place} is the root of a mounted file system" in ended.stderr
