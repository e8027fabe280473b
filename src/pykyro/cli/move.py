"""kyrodb move: have the sealed documents of a collection in PostgreSQL, or in its directory again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pykyro.cli.place import add_place_options, opened_database
from pykyro.model.cold_tier import LOCAL
from pykyro.model.collection import DEFAULT
from pykyro.model.errors import InvalidArgument

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_MOVE_S = 7 * 86_400.0
"""Timeout of a move, which copies every document."""


def add_command(commands: Commands) -> None:
    """Add `move`."""
    text = "move the sealed documents of a collection to PostgreSQL, or back, while it is used"
    parser = commands.add_parser("move", help=text, description=text, allow_abbrev=False)
    add_place_options(parser)
    parser.add_argument(
        "--collection", metavar="NAME", default=DEFAULT, help="the collection (default: %(default)s)"
    )
    parser.add_argument(
        "--to", metavar="WHERE", required=True, help=f"postgres, postgres:<service>, or {LOCAL}"
    )
    parser.add_argument(
        "--cold-tier-services",
        type=Path,
        metavar="FILE",
        help="with --data-dir: pg_service.conf that says how PostgreSQL is reached (default: PGSERVICEFILE, "
        "~/.pg_service.conf); a server has cold_tier.services_file",
    )
    parser.epilog = (
        "The server goes on when this command is interrupted. A move that was itself interrupted goes on from there "
        "when the command is run again."
    )
    needs = parser.get_default("needs") | {"--cold-tier-services": "--data-dir"}
    parser.set_defaults(run=_move, timeout_secs=_MOVE_S, needs=needs)


def _move(options: argparse.Namespace) -> None:
    if "://" in options.to:
        raise InvalidArgument(
            "--to takes no address: who asks a server for a move must not tell it whom to connect to, and no "
            "password is kept with the data. Write a section [name] with host=, dbname=, user= and password= into "
            "the pg_service.conf of the server (cold_tier.services_file), and say --to postgres:name",
            field="to",
        )
    with opened_database(options, cold_tier_services=options.cold_tier_services) as database:
        report = database.move_collection(options.collection, options.to)
    print(
        f"{report.documents} documents of {options.collection} are in {options.to}: {report.copied} copied, "
        f"{report.compared} compared before, {report.duration_s:.1f} s"
    )
