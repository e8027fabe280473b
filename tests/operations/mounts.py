"""Where tests mount disks: below one directory, so that what a killed run leaves is found and unmounted by the next.

Not below pytest's own directories, which it could not remove while something is mounted there.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(tempfile.gettempdir()) / "kyrodb-test-disks"
_numbers = itertools.count()


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """An empty directory of this process. Whatever is mounted in it afterwards is unmounted, and it is removed."""
    _clean_up_once()
    path = _ROOT / f"{os.getpid()}-{next(_numbers)}"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        _remove(path)


@functools.cache
def _clean_up_once() -> None:
    """Take away what processes that are gone have left, and at the end of this one what it would leave."""
    _remove_all(of_the_gone=True)
    atexit.register(_remove_all, of_the_gone=False)


def _remove_all(*, of_the_gone: bool) -> None:
    for path in _ROOT.glob("*-*") if _ROOT.exists() else ():
        owner = int(path.name.partition("-")[0])
        if (not Path(f"/proc/{owner}").exists()) if of_the_gone else owner == os.getpid():
            _remove(path)


def _remove(path: Path) -> None:
    """Lazily: a server that is dying may have files open."""
    for mounted in _mounted_below(path):
        subprocess.run(["umount", "--lazy", mounted], capture_output=True, check=False)
    # With something still mounted nothing of it may be removed.
    if not _mounted_below(path):
        shutil.rmtree(path, ignore_errors=True)


def _mounted_below(path: Path) -> list[str]:
    """Mount points below a directory, the innermost first. The fifth field of a line of mountinfo is the point."""
    with contextlib.suppress(FileNotFoundError):
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4].replace("\\040", " ") for line in lines]
        return [point for point in reversed(points) if Path(point).is_relative_to(path)]
    return []
