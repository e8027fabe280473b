"""More data than memory, in processes that are killed and start again: none takes more than its limit, and nothing
that was acknowledged is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import pykyro
from pykyro.model.errors import InvalidArgument

_OVER: Final = 1.15
_ROOT: Final = Path(__file__).parents[2]


def _run(directory: Path, limit_mib: int, work: str, count: int) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.memory.limited_process",
            str(directory),
            str(limit_mib),
            work,
            str(count),
        ],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == (0 if work.endswith("-check") else -signal.SIGKILL)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["high_bytes"] <= _OVER * (limit_mib << 20), report
    return report


@pytest.mark.parametrize(
    ("work", "count", "limit_mib"),
    [("text", 3000, 256), ("keys", 300, 160), ("merges", 700, 256)],
    ids=[
        "300 MB of text",
        "300,000 entries under 5,000 keys",
        "700 small updates of a document of 1 MB",
    ],
)
def test_what_is_written_within_a_limit_is_recovered_within_it(
    tmp_path: Path, work: str, count: int, limit_mib: int
) -> None:
    written = _run(tmp_path / "data", limit_mib, work, count)
    assert written["acknowledged"] == count
    found = _run(tmp_path / "data", limit_mib, f"{work}-check", count)
    assert found["right"] == (1 if work == "merges" else count)


def test_a_log_that_is_larger_than_memory_is_recovered_piece_by_piece(tmp_path: Path) -> None:
    count = 1500
    _run(tmp_path / "data", 2000, "text-unsealed", count)
    found = _run(tmp_path / "data", 160, "text-check", count)
    assert found["right"] == count


def test_a_limit_is_a_number_of_bytes_or_a_size_and_leaves_room_for_a_database(tmp_path: Path) -> None:
    for wrong in ("much", "12MiB", 1, True, 1.5):
        with pytest.raises(InvalidArgument, match="memory_limit"):
            pykyro.open(tmp_path / "data", dimension=4, memory_limit=wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()
    for right in (8 << 30, "8GiB"):
        with pykyro.open(tmp_path / "data", dimension=4, memory_limit=right) as database:
            database.insert(1, [1, 2, 3, 4])
