"""Scratch directories: gone at the end, whatever the end is, and never taken from one who works in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.engine.opening import fill, open_small, vectors
from tests.patience import PATIENCE_S

from pykyro.backup.target.scratch import remove_stale_scratch, scratch_directory
from pykyro.cli import kyrodb_backup

_SLOW = """
import sys, time
from pathlib import Path
from pykyro.backup import verify
from pykyro.cli import kyrodb, kyrodb_backup
from pykyro.cli.backup import drill

def wait(*arguments):
    Path(sys.argv[1]).touch()
    time.sleep(600)

verify.check_recovery = drill.check_recovery = wait
tool = kyrodb if sys.argv[2] == "drill" else kyrodb_backup
sys.exit(tool.main(sys.argv[2:]))
"""
"""The command, standing still in the middle of its trial recovery."""


@pytest.fixture
def backups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(30))
    engine.close()
    assert tool(tmp_path, "create") == 0
    capsys.readouterr()
    return tmp_path / "backups"


def tool(root: Path, *arguments: str) -> int:
    directories = ["--data-dir", str(root / "data"), "--backup-dir", str(root / "backups")]
    return kyrodb_backup.main([*directories, *arguments])


def in_the_middle(backups: Path, verb: Sequence[str]) -> subprocess.Popen[bytes]:
    reached = backups.parent / "reached"
    reached.unlink(missing_ok=True)
    places = ["--backup-dir", str(backups), "--scratch-dir", str(backups)]
    process = subprocess.Popen([sys.executable, "-c", _SLOW, str(reached), *verb, *places])
    deadline = time.monotonic() + PATIENCE_S
    while not reached.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def scratch_in(place: Path) -> list[str]:
    return [name for name in os.listdir(place) if name.startswith("kyrodb-")]


VERBS = [["verify", "--newest", "--deep"], ["drill"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("verb", VERBS)
def test_signal_leaves_nothing_behind(backups: Path, verb: list[str], number: signal.Signals) -> None:
    process = in_the_middle(backups, verb)
    assert len(scratch_in(backups)) == 1
    process.send_signal(number)
    assert process.wait(PATIENCE_S) != 0
    assert scratch_in(backups) == []


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("after", [["create"], ["prune"], ["list"], ["verify", "--newest"]])
def test_what_a_killed_one_left_goes_with_the_next_command(
    backups: Path, verb: list[str], after: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    process = in_the_middle(backups, verb)
    process.kill()
    process.wait()
    assert len(scratch_in(backups)) == 1
    assert tool(backups.parent, *after) == 0
    assert scratch_in(backups) == []
    capsys.readouterr()
    assert tool(backups.parent, "list", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == (2 if after == ["create"] else 1)


def test_directory_somebody_works_in_stays(backups: Path) -> None:
    process = in_the_middle(backups, VERBS[0])
    try:
        for verb in (["create"], ["prune"], ["verify", "--newest", "--deep", "--scratch-dir", str(backups)]):
            assert tool(backups.parent, *verb) == 0
            assert len(scratch_in(backups)) == 1
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    assert scratch_in(backups) == []


def test_only_what_is_ours_and_nobody_holds_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kyrodb-scratch-old").mkdir()
    (tmp_path / "kyrodb-scratch-old" / "data").mkdir()
    (tmp_path / "kyrodb-scratch-file").write_text("a file of somebody")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kyrodb-scratch-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "kyrodb-verify-young").mkdir()
    (tmp_path / "kyrodb-drill-old").mkdir()
    os.utime(tmp_path / "kyrodb-drill-old", (0, 0))
    with scratch_directory(tmp_path) as held:
        remove_stale_scratch(tmp_path)
        assert sorted(set(os.listdir(tmp_path)) - {held.name}) == [
            "elsewhere", "kyrodb-scratch-file", "kyrodb-scratch-link", "kyrodb-verify-young",
        ]  # fmt: skip
        assert held.exists()
    assert not held.exists()
    remove_stale_scratch(tmp_path / "not there")
