"""Opening an embedded database that follows an archive."""

from __future__ import annotations

import weakref
from pathlib import Path

from pykyro.embedded.collections import Database
from pykyro.embedded.options import DatabaseOptions
from pykyro.embedded.read_only import opened_for_reading
from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.replication.follower import Follower
from pykyro.replication.objects import normal_place
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.opening_errors import opening_error
from pykyro.system.clock import SystemClock


def opened_for_following(
    directory: Path,
    url: str,
    dimension: int | None,
    distance: str | None,
    id_type: str | None,
    options: DatabaseOptions,
    memory: MemoryBudget | None,
) -> Database:
    """The database in `directory`, as `open_database` with `follow` says."""
    if not isinstance(url, str) or not url:
        raise InvalidArgument(f"follow must be the URL of an archive, got {url!r}", field="follow")
    directory = directory.absolute()
    try:
        follower = Follower(LocalFileSystem(), directory, normal_place(url), SystemClock())
    except OSError as error:
        raise opening_error(error, directory) from error
    try:
        if follower.promoted is not None:
            raise FailedPrecondition(
                f"{directory} was made the leader of {follower.location}: serve it with kyrodb_server --follow "
                f"{follower.location}, or follow into another directory"
            )
        database = opened_for_reading(
            directory,
            dimension,
            distance,
            id_type,
            options,
            memory,
            refusal=lambda: (
                f"{directory} follows {follower.location} and takes no writes: send them to the leader of the archive"
            ),
            on_close=follower.stop,
        )
    except BaseException:
        follower.stop()
        raise
    # One that nobody closes must not keep a thread that follows.
    weakref.finalize(database, follower.stop)
    if database._engine is not None and database._engine.following is not None:
        database._engine.following.upstream = lambda: follower.warning
    follower.start()
    return database
