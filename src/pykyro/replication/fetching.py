"""A database of its own, made from an archive as it was at some moment."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pykyro.model.errors import FailedPrecondition
from pykyro.replication.mirror import Mirror
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.promotion import begin_history
from pykyro.replication.records import Commit, last_commit, read_commit
from pykyro.replication.role import new_role
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.lock import lock_directory, make_directories


def fetch(filesystem: FileSystem, directory: Path, store: ArchiveStore, until_us: int | None) -> Commit:
    """Make `directory`, which is empty or absent, a database that holds what the archive held at a moment, in
    microseconds of Unix time, or holds now; the commit that it was made of. It neither leads nor follows the archive.

    Raises FailedPrecondition when the directory is not empty or the archive has nothing so old, DataDirInUse,
    DataDamaged, OSError.
    """
    commit = _commit_at(store, until_us)
    make_directories(filesystem, directory)
    if filesystem.names(directory):
        raise FailedPrecondition(f"{directory} is not empty: name a directory that is empty or absent")
    lock = lock_directory(filesystem, directory)
    try:
        mirror = Mirror(filesystem, directory, store, new_role(store.location, follows=True))
        try:
            mirror.begin(commit.number)
            while mirror.number < commit.number and mirror.catch_up():
                pass
        finally:
            mirror.close()
        # Each attempt is a history of its own, whatever became of others.
        begin_history(filesystem, directory, commit.model_copy(update={"token": os.urandom(8).hex()}))
        with contextlib.suppress(FileNotFoundError):
            filesystem.remove(directory / filename.ARCHIVE)
        filesystem.sync_directory(directory)
    finally:
        lock.release()
    return commit


def _commit_at(store: ArchiveStore, until_us: int | None) -> Commit:
    """The last commit made up to then."""
    newest = last_commit(store)
    if newest is None:
        raise FailedPrecondition(f"{store.location} holds no database")
    if until_us is None or newest.time_us <= until_us:
        return newest
    first, after = 0, newest.number
    # Commit `first` is not later, commit `after` is.
    while after - first > 1:
        middle = (first + after) // 2
        commit = read_commit(store, middle)
        if commit is None or commit.time_us <= until_us:
            first = middle
        else:
            after = middle
    found = read_commit(store, first) if first else None
    if found is None:
        raise FailedPrecondition(
            f"the archive at {store.location} begins later than the moment that is asked for"
        )
    return found
