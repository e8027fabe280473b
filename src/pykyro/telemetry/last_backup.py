"""When the last backup was taken, told from the names in the directory of backups.

Whoever takes them, the server or a timer, a file named after its moment is there when one is whole: it is written
under a temporary name and renamed last.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from pykyro.storage.filename import BACKUP_ARCHIVE


def newest_backup_s(directory: Path) -> float | None:
    """Unix time of the newest backup in `directory`; None when there is none, or no such directory."""
    try:
        names = os.listdir(directory)
    except OSError:
        return None
    return max((moment for moment in map(_moment_s, names) if moment is not None), default=None)


def _moment_s(name: str) -> float | None:
    match = BACKUP_ARCHIVE.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.datetime.strptime(match["id"].partition("-")[0], "%Y%m%dT%H%M%SZ")
    except ValueError:
        return None
    return moment.replace(tzinfo=datetime.UTC).timestamp()
