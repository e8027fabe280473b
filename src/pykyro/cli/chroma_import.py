"""kyrodb import --from chroma: the collections of a directory of Chroma."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from pykyro.cli.backup import output
from pykyro.cli.import_steps import bring_in, destination, refuse_options
from pykyro.integrations.extras import needs_extra
from pykyro.model.errors import FailedPrecondition, InvalidArgument

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
    from pykyro.integrations.chroma.client import ClientAPI
    from pykyro.integrations.chroma.settings import Settings
    from pykyro.integrations.chroma.transfer import transfer

    refuse_options(options, _OF_FILES)
    source, known = _source(options.source)
    names = known if options.collection is None else [options.collection]
    if options.collection is not None and options.collection not in known:
        raise InvalidArgument(
            f"{options.source} has no collection {options.collection!r}; it has {', '.join(known)[:500] or 'none'}",
            field="collection",
        )
    with destination(options) as (database, where):
        client = ClientAPI(database, None, Settings())
        for name in names:
            bring = partial(transfer, source, name, client, on_refused=on_bad if options.skip_bad else None)
            found = bring_in(name, f"collection {name}", where, bring)
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
