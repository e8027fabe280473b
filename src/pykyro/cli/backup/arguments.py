"""The command line of kyrodb_backup. Directories may be named before and after the command."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from pykyro.backup.source.seal_request import WAIT_S
from pykyro.cli.backup.instants import parse_instant
from pykyro.cli.command import missing_option, text_argument
from pykyro.config.place import local_place
from pykyro.model.limits import COUNT_MAX
from pykyro.version import __version__

CLEAR: Final = "BACKUP_ALLOW_CLEAR"

_NEEDS: Final = {
    "--as": "--collection",
    "--reference": "--incremental",
    "--full-after-days": "--incremental",
    "--seal-wait-secs": "--seal",
    "--scratch-dir": "--deep",
    "--line": "--lsn",
}
"""Options that have no effect without another one."""

Verb: TypeAlias = Callable[[argparse.Namespace], None]


def parse_arguments(verbs: Mapping[str, Verb], arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, `run` being the verb that was asked for; ends the program with 2 for wrong usage."""
    parser = backup_parser(verbs)
    options = parser.parse_args(arguments)
    fault = missing_option(options, _NEEDS)
    if fault:
        parser.error(fault)
    return options


def backup_parser(verbs: Mapping[str, Verb]) -> argparse.ArgumentParser:
    """The parser; `options.run` of the parsed options is the verb on the command line."""
    parser = argparse.ArgumentParser(
        prog="kyrodb_backup",
        description="Create, list, verify, restore and prune backups of a KyroDB database.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"kyrodb_backup {__version__}")
    _add_directories(parser, Path("data"), "backups")
    # After the command the same options have no default, so that they leave alone what stood before it.
    shared = argparse.ArgumentParser(add_help=False)
    _add_directories(shared, argparse.SUPPRESS, argparse.SUPPRESS)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[shared], help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=verbs[name])
        return added

    _add_create(command("create", "make a backup, also while the server runs and writes"))
    _add_list(command("list", "show the backups, newest first"))
    _add_verify(command("verify", "read every byte of a backup and of the backups it needs"))
    _add_restore(
        command("restore", "replace the database by the state of a backup, an instant or a position")
    )
    _add_prune(
        command("prune", "remove old backups, except those that another backup needs and the last good one")
    )
    return parser


def _add_directories(parser: argparse.ArgumentParser, data: Path | str, backup: str) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=data,
        metavar="DIR",
        help="directory of the database (default: ./data)",
    )
    parser.add_argument(
        "--backup-dir",
        type=local_place,
        default=backup,
        metavar="DIR",
        help="directory of backups; with the cloud extra also s3://bucket/prefix, gs://bucket/prefix or "
        "az://container/prefix (default: ./backups)",
    )


def _add_create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", metavar="NAME", help="back up this collection alone (default: all)")
    parser.add_argument(
        "--description", type=text_argument, default="", metavar="TEXT", help="a note that list shows"
    )
    parser.add_argument(
        "--incremental", action="store_true", help="store only data that earlier backups do not hold"
    )
    parser.add_argument(
        "--reference",
        metavar="ID",
        help="backup to build on, with --incremental (default: the newest that fits)",
    )
    parser.add_argument(
        "--full-after-days",
        type=_days,
        metavar="N",
        help="with --incremental: make a full backup if there is none, or if the full backup it depends on is older",
    )
    parser.add_argument(
        "--seal",
        action="store_true",
        help="first ask the server that runs on the directory to seal its hot tier (SIGUSR1)",
    )
    parser.add_argument(
        "--seal-wait-secs",
        type=_rate,
        metavar="N",
        help=f"with --seal: time the server has to seal (default: {WAIT_S:g})",
    )
    parser.add_argument(
        "--max-mb-per-s", type=_rate, metavar="N", help="limit the copy to this many megabytes a second"
    )


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--collection", metavar="NAME", help="the backups of this collection (default: those of default)"
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        help="table needs the cli-tools extra (default: table with it, json without)",
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--collection", metavar="NAME", help="a backup of this collection (default: of default)"
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", metavar="BACKUP_ID", help="the backup")
    which.add_argument("--backup-id", metavar="ID", help="the same, as an option")
    which.add_argument("--newest", action="store_true", help="the newest one")
    parser.add_argument(
        "--deep",
        action="store_true",
        help="also restore it into a scratch directory, count its documents and search for some",
    )
    parser.add_argument(
        "--scratch-dir", type=Path, metavar="DIR", help="scratch directory for --deep (default: the system's)"
    )


def _add_restore(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--backup-id", metavar="ID", help="the state of this backup")
    which.add_argument(
        "--point-in-time",
        type=parse_instant,
        metavar="TIME",
        help="the state at an instant: Unix seconds, or RFC 3339 as 2025-06-01T12:00:00Z",
    )
    which.add_argument(
        "--lsn", type=_count, metavar="N", help="the state right after this position of the log"
    )
    parser.add_argument(
        "--line",
        metavar="ID",
        help="with --lsn: the position on the way to this backup (default: to the newest that reaches it)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the result without changing anything")
    parser.add_argument(
        "--collection",
        metavar="NAME",
        help="restore this collection alone, into the database that is in --data-dir (default: the whole database)",
    )
    parser.add_argument(
        "--as", metavar="NAME", help="with --collection: under another name (default: its own)"
    )
    parser.add_argument(
        "--cold-tier-services",
        type=Path,
        metavar="FILE",
        help="pg_service.conf that leads to the restored PostgreSQL of collections whose cold tier is there "
        "(default: PGSERVICEFILE, ~/.pg_service.conf)",
    )
    parser.epilog = f"A directory that holds files is replaced only with {CLEAR}=true in the environment."


def _add_prune(parser: argparse.ArgumentParser) -> None:
    for period, default in (("hourly", 24), ("daily", 7), ("weekly", 4), ("monthly", 6)):
        parser.add_argument(
            f"--keep-{period}",
            type=_count,
            default=default,
            metavar="N",
            help=f"{period} backups to keep: the newest of each period that has one (default: {default})",
        )
    parser.add_argument(
        "--min-age-days",
        type=_days,
        default=0.0,
        metavar="N",
        help="also keep every backup younger than this (default: 0)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the backups that would be removed, and remove none"
    )


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= COUNT_MAX:
        raise argparse.ArgumentTypeError(f"{text} must be 0 to {COUNT_MAX}")
    return value


def _days(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} must be 0 to 999999 days")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} must be more than 0")
    return value
