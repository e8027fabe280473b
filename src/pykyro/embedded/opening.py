"""Opening an embedded database."""

from __future__ import annotations

import logging
import os
from os import PathLike
from pathlib import Path
from typing import Final, Unpack

from pykyro.embedded.database import Database
from pykyro.embedded.options import DatabaseOptions, engine_options, memory_budget
from pykyro.engine.engine import open_engine
from pykyro.engine.open_engines import close_at_exit
from pykyro.engine.options import EngineOptions
from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import InvalidArgument
from pykyro.system.job_thread import JobThread

_log: Final = logging.getLogger(__name__)


def open_database(
    path: str | bytes | PathLike[str] | PathLike[bytes],
    *,
    dimension: int,
    distance: str = "cosine",
    **options: Unpack[DatabaseOptions],
) -> Database:
    """Open or create the database in directory `path`, recovering everything that was acknowledged.

    `dimension` is the length of its vectors, `distance` is "cosine", "euclidean" or "innerproduct"; neither can
    change once the database exists. With `memory_limit` the process takes no more memory, whatever is asked of the
    database: what there is no room for raises ResourceExhausted.

    Raises InvalidArgument, DataDirInUse, DataDirMismatch, DataDamaged, WriteFailed, StorageError.

    A database belongs to the process that opened it: a forked child is refused, and opens it itself once the parent
    has closed it. One that is no longer referred to is closed, and so is one that is open when the interpreter ends.
    """
    directory, chosen = _directory(path), engine_options(dimension, distance, options)
    memory = memory_budget(options.get("memory_limit"))
    return JobThread().call(lambda: _opened(directory, chosen, memory))


def _opened(directory: Path, options: EngineOptions, memory: MemoryBudget | None) -> Database:
    engine = open_engine(directory, options, memory=memory)
    for warning in engine.recovered.warnings:
        _log.warning("recovery: %s", warning)
    close_at_exit(engine)
    return Database(engine)


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
