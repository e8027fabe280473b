"""kyrodb import --from chroma: the collections of a directory of Chroma."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pykyro
from pykyro.cli.backup import output
from pykyro.cli.connection import connected
from pykyro.integrations.extras import needs_extra
from pykyro.model.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from pykyro.integrations.chroma.client import ClientAPI

_OF_FILES: Final = (
    "format",
    "first_id",
    "tenant",
    "namespace",
    "progress",
    "dimension",
    "distance",
    "id_type",
    "into",
    "id_column",
    "vector_column",
)


def import_chroma(options: argparse.Namespace, on_bad: Callable[[str], None]) -> None:
    """Bring over the collection of --collection, or all of them. Raises KyroError."""
    from pykyro.integrations.chroma.transfer import transfer

    for name in _OF_FILES:
        if getattr(options, name) not in (None, 1):
            flag = f"--{name.replace('_', '-')}"
            raise InvalidArgument(f"{flag} has no effect with --from chroma: leave it out", field=name)
    source, known = _source(options.source)
    names = known if options.collection is None else [options.collection]
    if options.collection is not None and options.collection not in known:
        raise InvalidArgument(
            f"{options.source} has no collection {options.collection!r}; it has {', '.join(known)[:500] or 'none'}",
            field="collection",
        )
    with _destination(options) as (client, where):
        for name in names:
            began_s = time.monotonic()
            with output.progress(f"Importing {name}", counts="rows") as progress:
                found = transfer(
                    source,
                    name,
                    client,
                    on_refused=on_bad if options.skip_bad else None,
                    on_rows=progress.reach,
                )
            print(
                f"Imported collection {name} into {where}: {found.written} rows, {found.there_already} were there, "
                f"{found.refused} left out, {time.monotonic() - began_s:.2f} s; each was read again and compared"
            )
            if found.others:
                output.warn(f"collection {name} has {found.others} rows that {options.source} has not")


def _source(directory: Path) -> tuple[Any, list[str]]:
    """A client of the directory, and the names of its collections."""
    if not (directory / "chroma.sqlite3").is_file():
        raise InvalidArgument(f"{directory} is no directory of Chroma: it has no chroma.sqlite3", field="in")
    try:
        with needs_extra("compat", "chromadb"):
            import chromadb
            from chromadb.config import Settings
    except ModuleNotFoundError as error:
        raise FailedPrecondition(str(error)) from error
    try:
        client = chromadb.PersistentClient(str(directory), Settings(anonymized_telemetry=False))
        return client, [one.name for one in client.list_collections()]
    except Exception as error:  # chromadb has no class above all that a damaged or too old directory raises
        raise FailedPrecondition(
            f"chromadb {chromadb.__version__} cannot read {directory}: {error}"
        ) from error


@contextmanager
def _destination(options: argparse.Namespace) -> Iterator[tuple[ClientAPI, str]]:
    from pykyro.integrations.chroma.client import ClientAPI
    from pykyro.integrations.chroma.settings import Settings

    if options.data_dir is not None:
        with pykyro.open(options.data_dir, typed_values=True) as database:
            yield ClientAPI(database, None, Settings()), str(options.data_dir)
    else:
        with connected(options) as remote:
            yield ClientAPI(remote, None, Settings()), options.url
