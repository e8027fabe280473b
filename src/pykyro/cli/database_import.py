"""kyrodb import --from qdrant, pgvector, lancedb, milvus or parquet: a table of another database."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pykyro
from pykyro.cli.backup import output
from pykyro.cli.connection import connected
from pykyro.model.errors import InvalidArgument

if TYPE_CHECKING:
    from pykyro.integrations.transfers.source import Source

ORIGINS: Final = ("qdrant", "pgvector", "lancedb", "milvus", "parquet")
_OF_FILES: Final = ("format", "first_id", "tenant", "namespace", "progress", "dimension", "id_type")


def import_table(options: argparse.Namespace, on_bad: Callable[[str], None]) -> None:
    """Bring one table over. Raises KyroError."""
    from pykyro.integrations.transfers.transfer import transfer

    for name in _OF_FILES:
        if getattr(options, name) not in (None, 1):
            flag = f"--{name.replace('_', '-')}"
            raise InvalidArgument(
                f"{flag} has no effect with --from {options.origin}: leave it out", field=name
            )
    source = _source(options)
    into = options.into or source.name.replace("/", ".")
    with _destination(options) as (database, where):
        began_s = time.monotonic()
        with output.progress(f"Importing {source.name}", counts="rows") as progress:
            found = transfer(
                source,
                database,
                into,
                distance=options.distance,
                on_refused=on_bad if options.skip_bad else None,
                on_rows=progress.reach,
            )
        print(
            f"Imported {source.name} into collection {into} of {where}: {found.written} rows, {found.there_already} "
            f"were there, {found.refused} left out, {time.monotonic() - began_s:.2f} s; each was read again and "
            "compared"
        )
        if found.others:
            output.warn(f"collection {into} has {found.others} documents that {source.name} has not")


def _source(options: argparse.Namespace) -> Source:
    place, table = str(options.source), options.collection
    if options.origin == "parquet":
        from pykyro.integrations.transfers.lance import parquet_source

        if table is not None:
            raise InvalidArgument(
                "--collection has no effect with --from parquet: name --into", field="collection"
            )
        return parquet_source(Path(place), options.id_column, options.vector_column)
    if options.origin == "qdrant":
        from pykyro.integrations.qdrant.source import qdrant_source

        return qdrant_source(place, table, os.environ.get("QDRANT_API_KEY"), options.vector_column)
    if table is None:
        raise InvalidArgument(
            f"--from {options.origin} needs --collection, the table to import", field="collection"
        )
    if options.origin == "pgvector":
        from pykyro.integrations.transfers.pgvector import pgvector_source

        return pgvector_source(place, table, options.id_column, options.vector_column)
    if options.origin == "lancedb":
        from pykyro.integrations.transfers.lance import lance_source

        return lance_source(place, table, options.id_column, options.vector_column)
    from pykyro.integrations.transfers.milvus import milvus_source

    return milvus_source(place, table, os.environ.get("MILVUS_TOKEN", ""), options.vector_column)


@contextmanager
def _destination(options: argparse.Namespace) -> Iterator[tuple[pykyro.Database | pykyro.Client, str]]:
    if options.data_dir is not None:
        with pykyro.open(options.data_dir, typed_values=True) as database:
            yield database, str(options.data_dir)
    else:
        with connected(options) as remote:
            yield remote, options.url
