"""Opening an embedded database for reading, beside the process that writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pykyro.database.read_collections import ReadCollections
from pykyro.embedded.collections import Database
from pykyro.embedded.options import DatabaseOptions, engine_options
from pykyro.engine.open_engines import close_at_exit
from pykyro.engine.reading.open_reader import open_reader
from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import InvalidArgument, StorageError
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.files.opening_errors import opening_error
from pykyro.storage.manifest import Manifest, read_manifest

DISTANCE: Final = "cosine"
_OF_READERS: Final = {
    "ef_search",
    "mapped_graphs",
    "query_cache_mode",
    "typed_values",
    "background",
    "memory_limit",
}


def check_options_of_reader(options: DatabaseOptions) -> None:
    """Raises InvalidArgument for an option that is about writing."""
    for name in options:
        if name not in _OF_READERS:
            raise InvalidArgument(
                f"{name} is about writing, and a reader writes nothing; with read_only or follow the options are "
                f"{', '.join(sorted(_OF_READERS))}",
                field=name,
            )


def known_manifest(filesystem: FileSystem, directory: Path) -> Manifest | None:
    """The MANIFEST of the directory; None when there is none. Raises StorageError."""
    try:
        return read_manifest(filesystem, directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise opening_error(error, directory) from error


def opened_for_reading(
    directory: Path,
    dimension: int | None,
    distance: str | None,
    id_type: str | None,
    options: DatabaseOptions,
    memory: MemoryBudget | None,
    *,
    refusal: Callable[[], str] | None = None,
    on_close: Callable[[], object] = lambda: None,
) -> Database:
    """The database in `directory`, as `open_database` with `read_only` says. A write is told what `refusal` says, and
    `on_close` is called when the database is closed."""
    directory, filesystem = directory.absolute(), LocalFileSystem()
    known = known_manifest(filesystem, directory)
    if known is None:
        if not filesystem.exists(directory / filename.CATALOGUE):
            raise StorageError(
                "there is no database here, and read_only=True makes none",
                path=directory,
                hint="Name the directory of one, or open it without read_only first",
            )
        base, engine = engine_options(1, DISTANCE, options), None
    else:
        base = engine_options(
            known.dimension if dimension is None else dimension,
            distance or known.metric.value,
            options,
            id_type,
        )
        engine = open_reader(directory, base, memory=memory, refusal=refusal)
    try:
        collections = ReadCollections(
            directory, engine, base, memory=memory, refusal=refusal, on_close=on_close
        )
    except BaseException as error:
        if engine is not None:
            engine.close()
        if isinstance(error, OSError):
            raise opening_error(error, directory) from error
        raise
    if engine is not None:
        close_at_exit(engine)
    collections.on_open = close_at_exit
    return Database(collections)
