"""A follower becomes the leader of a new history.

    kyrodb promote   reads the archive to its end and creates the next commit, which names the follower and a new
                     epoch. From then on no commit of the old leader can come, however late it wakes
    the follower     comes to that commit, or finds it at its next start, and leads

So of two promotes at once one creates the commit, and the other is told who.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pykyro.model.errors import FailedPrecondition
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.records import Commit, last_commit
from pykyro.replication.role import read_role, write_role
from pykyro.replication.shipping import create_commit
from pykyro.replication.standing import archived_positions
from pykyro.storage import filename
from pykyro.storage.catalogue import collection_directory, read_catalogue
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Branch, read_manifest, write_manifest
from pykyro.system.clock import Clock


def promote(filesystem: FileSystem, directory: Path, store: ArchiveStore, clock: Clock) -> Commit:
    """Make the follower in `directory` the leader of the archive; the commit that says so. Repeated, it does nothing.

    Raises FailedPrecondition when the directory is no follower's, LostLead when another was promoted meanwhile,
    DataDamaged, OSError.
    """
    role = read_role(filesystem, directory)
    if role is None:
        raise FailedPrecondition(f"{directory} is no follower's: it was never started with --follow")
    head = last_commit(store, role.number)
    if head is None:
        raise FailedPrecondition(f"{store.location} holds no database")
    if head.leader == role.id:
        return head
    commit = Commit(
        number=head.number + 1,
        epoch=head.epoch + 1,
        leader=role.id,
        host=socket.gethostname(),
        time_us=clock.wall_us(),
        token=os.urandom(8).hex(),
        positions=archived_positions(store, head.number),
        promotes=True,
    )
    create_commit(store, commit)
    return commit


def begin_history(filesystem: FileSystem, directory: Path, commit: Commit) -> None:
    """Let each collection of a mirror go on in a history of its own from `commit` on: positions behind that will be
    given out again, in place of those that the leader gave out. Raises OSError, DataDamaged."""
    numbers = [0, *(entry.number for entry in read_catalogue(filesystem, directory).collections.values())]
    for number in numbers:
        path = collection_directory(directory, number)
        if not filesystem.exists(path / filename.MANIFEST):
            continue
        manifest = read_manifest(filesystem, path)
        history = f"{commit.token}{manifest.history}"[:32]
        if manifest.history != history:
            branch = Branch(history=manifest.history, lsn=commit.positions.get(number, manifest.sealed_lsn))
            changes = {"history": history, "branched_from": branch}
            write_manifest(filesystem, path, manifest.model_copy(update=changes))


def take_lead(filesystem: FileSystem, directory: Path, commit: Commit) -> None:
    """Turn the mirror that was brought up to `commit`, which promotes it, into the directory of a leader: each
    collection goes on in a history of its own. Nobody has it open; repeated, it changes nothing. Raises OSError,
    DataDamaged."""
    role = read_role(filesystem, directory)
    assert role is not None
    if not role.follows:
        return
    begin_history(filesystem, directory, commit)
    write_role(
        filesystem,
        directory,
        role.model_copy(update={"follows": False, "epoch": commit.epoch, "number": commit.number}),
    )
