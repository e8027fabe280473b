"""kyrodb collections: list, create, describe, rename, alias, compact and drop those of a server or a directory."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from pykyro.cli.command import integer
from pykyro.cli.place import add_place_options, opened_database
from pykyro.cli.text_options import add_text_options, text_options
from pykyro.memory.budget import mebibytes
from pykyro.model.errors import FailedPrecondition
from pykyro.model.limits import DIMENSION_MAX, EF_CONSTRUCTION_MAX, EF_SEARCH_MAX, HNSW_M_MAX, HNSW_M_MIN
from pykyro.model.text_ids import ID_TYPES, INTEGER
from pykyro.model.types import Metric

if TYPE_CHECKING:
    from pykyro.model.collection import CollectionInfo

    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


_COMPACTION_S: Final = 3600.0
"""Timeout of a compaction, which builds the graph of a collection again."""


def add_command(commands: Commands) -> None:
    """Add `collections` and its verbs."""
    parser = commands.add_parser(
        "collections", help="list, create, rename, alias, compact and drop collections", allow_abbrev=False
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add(verbs, "list", "show all collections", _list).add_argument(
        "--format", choices=("table", "json"), default="table", help="output format (default: %(default)s)"
    )
    _add_create(verbs)
    _named(_add(verbs, "describe", "show everything about a collection, as JSON", _describe))
    rename = _named(_add(verbs, "rename", "give a collection another name; its aliases stay", _rename))
    rename.add_argument("new_name", metavar="NEW_NAME")
    alias = _add(verbs, "alias", "have an alias stand for a collection, whatever it stood for before", _alias)
    alias.add_argument("alias", metavar="ALIAS")
    what = alias.add_mutually_exclusive_group(required=True)
    what.add_argument("name", metavar="NAME", nargs="?", help="the collection, or another alias of it")
    what.add_argument("--remove", action="store_true", help="take the alias away, not its collection")
    compact = _named(
        _add(verbs, "compact", "merge all segments, so that deleted documents take no space", _compact)
    )
    compact.set_defaults(timeout_secs=_COMPACTION_S)
    drop = _named(_add(verbs, "drop", "remove a collection with all its documents and aliases", _drop))
    drop.add_argument("--yes", action="store_true", help="do not ask")


def _add_create(verbs: Commands) -> None:
    create = _named(_add(verbs, "create", "create a collection", _create))
    create.add_argument("--dimension", type=integer(1, DIMENSION_MAX), required=True, metavar="N")
    create.add_argument("--distance", choices=[metric.value for metric in Metric], default="cosine")
    create.add_argument("--m", type=integer(HNSW_M_MIN, HNSW_M_MAX), default=16, metavar="N")
    create.add_argument("--ef-construction", type=integer(1, EF_CONSTRUCTION_MAX), default=200, metavar="N")
    create.add_argument("--ef-search", type=integer(1, EF_SEARCH_MAX), default=50, metavar="N")
    create.add_argument(
        "--default-ttl",
        type=float,
        metavar="SECONDS",
        help="documents that are stored without an expiry go after so long",
    )
    create.add_argument(
        "--id-type",
        choices=ID_TYPES,
        default=INTEGER,
        help="of the ids of documents: integers, or texts of 1 to 512 bytes (default: %(default)s)",
    )
    add_text_options(create)
    create.add_argument(
        "--cold-tier",
        metavar="ENGINE",
        default="local",
        help="where sealed documents are: local, postgres, or postgres:SERVICE (default: %(default)s)",
    )
    create.add_argument(
        "--exist-ok",
        action="store_true",
        help="what is there will do, with this dimension, distance and type of ids",
    )


def _add(verbs: Commands, verb: str, text: str, run: object) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        verb, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    add_place_options(parser)
    parser.set_defaults(run=run)
    return parser


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("name", metavar="NAME", help="the collection")
    return parser


def _list(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        infos = database.collections()
    if options.format == "json":
        print(json.dumps([_as_json(info) for info in infos], indent=2))
        return
    rows = [("NAME", "DIMENSION", "DISTANCE", "DOCUMENTS", "OPEN", "ALIASES")]
    for info in infos:
        documents = "?" if info.documents is None else str(info.documents)
        state = "trouble" if info.trouble else "yes" if info.is_open else "no"
        config = info.config
        rows.append(
            (
                info.name,
                str(config.dimension),
                config.metric.value,
                documents,
                state,
                ", ".join(info.aliases),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _compact(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        report = database.collection(options.name).compact()
    print(
        f"{options.name}: {report.documents} documents, {report.segments_before} segments of "
        f"{mebibytes(report.bytes_before)} are now {report.segments} of {mebibytes(report.bytes)}, "
        f"after {report.duration_s:.1f} s"
    )


def _create(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        database.create_collection(
            options.name,
            options.dimension,
            options.distance,
            m=options.m,
            ef_construction=options.ef_construction,
            ef_search=options.ef_search,
            default_ttl=options.default_ttl,
            id_type=options.id_type,
            cold_tier=options.cold_tier,
            text=text_options(options),
            exist_ok=options.exist_ok,
        )
    print(f"Collection {options.name} is there")


def _describe(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        print(json.dumps(_as_json(database.describe_collection(options.name)), indent=2))


def _rename(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        database.rename_collection(options.name, options.new_name)
    print(f"Collection {options.name} is called {options.new_name}")


def _alias(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        if options.remove:
            existed = database.remove_alias(options.alias)
            print(f"Alias {options.alias} is removed" if existed else f"There was no alias {options.alias}")
        else:
            database.set_alias(options.alias, options.name)
            print(f"Alias {options.alias} stands for {options.name}")


def _drop(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        if not options.yes:
            _confirm(database.describe_collection(options.name))
        database.drop_collection(options.name)
    print(f"Collection {options.name} is dropped")


def _confirm(info: CollectionInfo) -> None:
    """Ask whether to drop it. Raises FailedPrecondition unless its name is typed."""
    documents = "its documents" if info.documents is None else f"its {info.documents} documents"
    if sys.stdin is None or not sys.stdin.isatty():
        raise FailedPrecondition(
            f"dropping collection {info.name} removes {documents} for good, and nobody is there to be asked: "
            "give --yes"
        )
    print(f"Dropping collection {info.name} removes {documents} for good.")
    if input("Type its name to go on: ").strip() != info.name:
        raise FailedPrecondition("the name was not typed: nothing is dropped")


def _as_json(info: CollectionInfo) -> dict[str, object]:
    created = datetime.fromtimestamp(info.created_us / 1e6, UTC)
    return asdict(info) | {
        "config": asdict(info.config) | {"metric": info.config.metric.value},
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}" if info.created_us else None,
    }
