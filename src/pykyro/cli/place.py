"""Options of the commands that work on a server or on a directory, and the database they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pykyro.cli.connection import SERVER_OPTIONS, add_connection_options, connected
from pykyro.model.errors import InvalidArgument
from pykyro.storage import filename

if TYPE_CHECKING:
    from pykyro.client.sync_client import Client
    from pykyro.embedded.collections import Database

_NEEDS: Final = dict.fromkeys(SERVER_OPTIONS, "--url")


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Which server, or which directory."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--url", metavar="HOST:PORT", help="the server")
    place.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="the directory of a database that no server has open"
    )
    add_connection_options(parser.add_argument_group("for --url"))
    parser.set_defaults(needs=_NEEDS)


@contextmanager
def opened_database(
    options: argparse.Namespace, *, cold_tier_services: Path | None = None
) -> Iterator[Client | Database]:
    """A client of the server, or the database of the directory, which must be there. Raises InvalidArgument, and what
    opening either raises."""
    if options.url is not None:
        with connected(options) as client:
            yield client
        return
    from pykyro.embedded.opening import open_database

    directory: Path = options.data_dir
    if not any((directory / name).exists() for name in (filename.MANIFEST, filename.CATALOGUE)):
        raise InvalidArgument(f"there is no database in {directory}", field="data_dir")
    if cold_tier_services is None:
        opening = open_database(directory)
    else:
        opening = open_database(directory, cold_tier_services=cold_tier_services)
    with opening as database:
        yield database
