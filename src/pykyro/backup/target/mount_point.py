"""Whether a directory is the root of something mounted there: it then keeps its name whatever is tried."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pykyro.model.errors import FailedPrecondition


def require_not_mounted(directory: Path) -> None:
    """Raises FailedPrecondition when `directory`, absolute and without links, cannot exchange names with another."""
    if os.path.ismount(directory) or str(directory) in _mount_points():
        raise FailedPrecondition(
            f"{directory} is the root of a mounted file system or volume, which a restore cannot exchange for the "
            f"restored directory. Restore into a directory on it, --data-dir {directory / 'db'}, and set "
            f"persistence.data_dir to that. Nothing was changed"
        )


def _mount_points() -> set[str]:
    """Where anything is mounted: also a directory of the same file system, which os.path.ismount cannot tell.

    Format: proc_pid_mountinfo(5); space, tab, line end and backslash are written as octal numbers.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return set()
    return {
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines
    }
