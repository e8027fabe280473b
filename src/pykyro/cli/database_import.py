"""kyrodb import --from qdrant, pgvector, lancedb, milvus or parquet: a table of another database."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pykyro.cli.backup import output
from pykyro.cli.import_steps import bring_in, destination, refuse_options
from pykyro.model.errors import InvalidArgument

if TYPE_CHECKING:
    from pykyro.integrations.transfers.source import Source

ORIGINS: Final = ("qdrant", "pgvector", "lancedb", "milvus", "parquet")
_OF_FILES: Final = ("format", "first_id", "tenant", "namespace", "progress", "dimension", "id_type")


def import_table(options: argparse.Namespace, on_bad: Callable[[str], None]) -> None:
    """Bring one table over. Raises KyroError."""
    from pykyro.integrations.transfers.transfer import transfer

    refuse_options(options, _OF_FILES)
    source = _source(options)
    into = options.into or source.name.replace("/", ".")
    with destination(options) as (database, where):
        on_refused = on_bad if options.skip_bad else None
        bring = partial(transfer, source, database, into, distance=options.distance, on_refused=on_refused)
        found = bring_in(source.name, source.name, f"collection {into} of {where}", bring)
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
