"""kyrodb fetch: a database made from an archive, as it was at some moment."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands) -> None:
    """Add `fetch`."""
    parser = commands.add_parser(
        "fetch",
        help="make a database from an archive, as it was at some moment",
        description="Make an empty directory a database of its own that holds what an archive holds, or held at some "
        "moment: everything that was shipped by then, to the commit. It neither leads nor follows the archive.",
        allow_abbrev=False,
    )
    parser.add_argument("url", metavar="URL", help="the archive: s3://, gs://, az://, file://")
    parser.add_argument(
        "-d", "--data-dir", type=Path, required=True, metavar="DIR", help="an empty or absent directory"
    )
    parser.add_argument(
        "--at",
        type=_moment_us,
        metavar="TIME",
        help="the moment, as 2026-06-01T12:00:00Z, on the clock of the leader (default: now)",
    )
    parser.set_defaults(run=_run)


def _moment_us(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-06-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no zone: end it with Z or +02:00")
    return int(moment.timestamp() * 1_000_000)


def _run(options: argparse.Namespace) -> None:
    from pykyro.replication.fetching import fetch
    from pykyro.replication.objects import normal_place, open_archive
    from pykyro.storage.files.filesystem import LocalFileSystem

    store = open_archive(normal_place(options.url))
    directory: Path = options.data_dir.absolute()
    commit = fetch(LocalFileSystem(), directory, store, options.at)
    shipped = datetime.datetime.fromtimestamp(commit.time_us / 1e6, datetime.UTC)
    print(
        f"{directory} holds what {store.location} held at commit {commit.number}, shipped {shipped:%FT%T.%fZ}"
    )
