"""kyrodb promote: a follower becomes the leader."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pykyro.model.errors import FailedPrecondition

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands) -> None:
    """Add `promote`."""
    parser = commands.add_parser(
        "promote",
        help="make a follower the leader of its archive",
        description="Make the follower in a data directory the leader of the archive that it follows, on the machine "
        "where it runs. From then on the leader before can ship nothing more, whatever state it is in; what it "
        "acknowledged and had not shipped stands on its disk alone. A follower that runs becomes the leader within a "
        "second; one that does not, at its next start. Of several promotes at once one succeeds, and the others say "
        "which.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-d", "--data-dir", type=Path, required=True, metavar="DIR", help="the directory of the follower"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from pykyro.replication.objects import open_archive
    from pykyro.replication.promotion import promote
    from pykyro.replication.role import read_role
    from pykyro.storage.files.filesystem import LocalFileSystem
    from pykyro.system.clock import SystemClock

    directory: Path = options.data_dir.absolute()
    role = read_role(LocalFileSystem(), directory)
    if role is None:
        raise FailedPrecondition(f"{directory} is no follower's: it was never started with --follow")
    store = open_archive(role.url)
    commit = promote(LocalFileSystem(), directory, store, SystemClock())
    positions = ", ".join(
        f"collection {number or 'default'} at position {position}"
        for number, position in sorted(commit.positions.items())
    )
    print(
        f"{directory} leads {store.location} from commit {commit.number} on, epoch {commit.epoch}: {positions}"
    )
    if role.follows:
        print("Point clients to it: it takes writes once its server says that it leads, or at its next start")
