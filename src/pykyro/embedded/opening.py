"""Opening an embedded database."""

from __future__ import annotations

import logging
import os
from os import PathLike
from pathlib import Path
from typing import Final, Unpack

from pykyro.database.collections import Collections
from pykyro.embedded.collections import Database
from pykyro.embedded.options import DatabaseOptions, engine_options, memory_budget
from pykyro.embedded.read_only import DISTANCE, check_options_of_reader, known_manifest, opened_for_reading
from pykyro.engine.engine import open_engine
from pykyro.engine.open_engines import close_at_exit
from pykyro.engine.options import EngineOptions
from pykyro.memory.budget import MemoryBudget
from pykyro.model.collection import Distance, IdType
from pykyro.model.errors import InvalidArgument
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.files.lock import lock_directory, make_directories
from pykyro.storage.files.opening_errors import opening_error
from pykyro.system.job_thread import JobThread

_log: Final = logging.getLogger(__name__)


def open_database(
    path: str | bytes | PathLike[str] | PathLike[bytes],
    *,
    dimension: int | None = None,
    distance: Distance | None = None,
    id_type: IdType | None = None,
    read_only: bool = False,
    follow: str | None = None,
    **options: Unpack[DatabaseOptions],
) -> Database:
    """Open or create the database in directory `path`, recovering everything that was acknowledged.

    `dimension` is the length of its vectors, `distance` is "cosine" (unless it is said), "euclidean" or
    "innerproduct", `id_type` "integer" (unless it is said) or "text"; none can change once the database exists.
    Without them a database that is there has those it was created with. Without a dimension a new one has no
    documents of its own, only the collections that are created in it. With `memory_limit` the
    process takes no more memory, whatever is asked of the database: what there is no room for raises
    ResourceExhausted.

    With `read_only` the directory is read beside the process that writes it, or without one, by any number of
    processes: no lock is taken and nothing is written. A read shows everything that was acknowledged before it began,
    in whatever process; what writes raises FailedPrecondition. Options that are about writing are refused.

    With `follow`, the URL of an archive that a server ships to, the directory becomes a copy of the archive that is
    kept up to date for as long as the database is open, and is read as with `read_only`: reads show what has arrived.

    Raises InvalidArgument, DataDirInUse, DataDirMismatch, DataDamaged, WriteFailed, StorageError.

    A database belongs to the process that opened it: a forked child is refused, and opens it itself once the parent
    has closed it. One that is no longer referred to is closed, and so is one that is open when the interpreter ends.
    """
    directory = _directory(path)
    memory = memory_budget(options.get("memory_limit"))
    # Whatever is wrong with the options is said before anything is done.
    engine_options(1 if dimension is None else dimension, distance or DISTANCE, options, id_type)
    if follow is not None:
        check_options_of_reader(options)
        # Who follows nothing needs nothing of what that takes.
        from pykyro.embedded.follow import opened_for_following

        return JobThread().call(
            lambda: opened_for_following(directory, follow, dimension, distance, id_type, options, memory)
        )
    if read_only:
        check_options_of_reader(options)
        return JobThread().call(
            lambda: opened_for_reading(directory, dimension, distance, id_type, options, memory)
        )
    return JobThread().call(lambda: _opened(directory, dimension, distance, id_type, options, memory))


def _opened(
    directory: Path,
    dimension: int | None,
    distance: str | None,
    id_type: str | None,
    options: DatabaseOptions,
    memory: MemoryBudget | None,
) -> Database:
    directory, filesystem = directory.absolute(), LocalFileSystem()
    if dimension is None:
        known = known_manifest(filesystem, directory)
        if known is None:
            return _without_default(filesystem, directory, engine_options(1, DISTANCE, options), memory)
        dimension, distance = known.dimension, distance or known.metric.value
    base = engine_options(dimension, distance or DISTANCE, options, id_type)
    engine = open_engine(directory, base, memory=memory)
    for warning in engine.recovered.warnings:
        _log.warning("recovery: %s", warning)
    try:
        collections = Collections(engine.directory, engine, base, memory=memory)
    except BaseException as error:
        engine.close()
        if isinstance(error, OSError):
            raise opening_error(error, directory) from error
        raise
    close_at_exit(engine)
    collections.on_open = close_at_exit
    return Database(collections)


def _without_default(
    filesystem: FileSystem, directory: Path, base: EngineOptions, memory: MemoryBudget | None
) -> Database:
    try:
        make_directories(filesystem, directory)
        lock = lock_directory(filesystem, directory)
        try:
            collections = Collections(directory, None, base, memory=memory)
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        raise opening_error(error, directory) from error
    collections.on_open = close_at_exit
    return Database(collections, lock)


def _directory(path: str | bytes | PathLike[str] | PathLike[bytes]) -> Path:
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise InvalidArgument(
            f"path must be a str, bytes or os.PathLike, got {type(path).__name__}", field="path"
        ) from None
    if not name or "\0" in name:
        raise InvalidArgument(f"path must be the name of a directory, got {name!r}", field="path")
    return Path(name)
