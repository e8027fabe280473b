"""A directory that holds what an archive holds: files under the names the leader gave them, so that everything that
reads a data directory reads this one.

    state    files of segments are downloaded and proved, the log is brought up to what the state says, then MANIFEST
             names them, and POSITION how much of the log counts; only then what no MANIFEST names is removed
    log      pieces are proved and appended to the log segment, then POSITION follows

It begins with the newest state at every start: what is there already is not fetched again. A torn end of a log
segment, as a crash leaves it, is cut off and fetched again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import DataDamaged, FailedPrecondition, Portable
from pykyro.model.types import LSN
from pykyro.replication.mirrored_log import MirroredLog
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.records import (
    CollectionState,
    Commit,
    State,
    StoredFile,
    last_commit,
    newest_state,
    read_commit,
    read_state,
    segment_name,
)
from pykyro.replication.role import Role, write_role
from pykyro.storage import filename
from pykyro.storage.catalogue import collection_directory
from pykyro.storage.files.filesystem import FileSystem, write_all
from pykyro.storage.files.lock import make_directories
from pykyro.storage.files.remove_tree import remove_tree
from pykyro.storage.files.replace_file import replace_file
from pykyro.storage.manifest import decode_manifest, read_manifest, write_manifest

_HINT: Final = "Restore the object in the archive, or start a new archive at another URL"


class Promoted(Portable):
    """The archive says that this directory leads from here on."""

    def __init__(self, commit: Commit) -> None:
        super().__init__(f"commit {commit.number} makes this directory the leader, epoch {commit.epoch}")
        self.commit = commit


class Mirror:
    """One thread at a time calls it. The caller holds the lock of the directory."""

    def __init__(self, filesystem: FileSystem, directory: Path, store: ArchiveStore, role: Role) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._store = store
        self._role = role
        self._logs: dict[int, MirroredLog] = {}
        self._head_number = 0
        self._head_position: LSN = 0
        self.number = 0
        """Of the newest commit that was applied; 0 before the first."""
        self.epoch = 0
        self.shipped_us = 0
        """When that commit was made, on the leader's clock."""

    @property
    def head_position(self) -> LSN:
        """Up to where the collection default is known to be in the archive."""
        return max(self._head_position, self.position(DEFAULT_NUMBER))

    def look_ahead(self) -> None:
        """See how far the archive goes. Raises DataDamaged, OSError."""
        head = last_commit(self._store, self.number)
        if head is not None:
            self._head_number = head.number
            self._head_position = head.positions.get(DEFAULT_NUMBER, self._head_position)

    @property
    def behind(self) -> int:
        """Commits that are known and not applied."""
        return max(0, self._head_number - self.number)

    def position(self, number: int) -> LSN:
        """Up to where this collection is here."""
        log = self._logs.get(number)
        return 0 if log is None else log.position

    def begin(self, last: int | None = None) -> None:
        """Bring the directory to the newest state of the archive, or the newest up to commit `last`. Raises
        FailedPrecondition when there is nothing to follow, DataDamaged, OSError."""
        head = last_commit(self._store)
        if head is None:
            raise FailedPrecondition(
                f"{self._store.location} holds no database: start a leader with archive.url set to it first"
            )
        if head.number < self._role.number:
            raise FailedPrecondition(
                f"{self._store.location} ends at commit {head.number}, and this directory has seen commit "
                f"{self._role.number}: objects were removed from the archive. Restore them, or follow into an empty "
                "directory"
            )
        self._head_number = head.number
        number, name = newest_state(self._store, head.number if last is None else last)
        commit = read_commit(self._store, number)
        assert commit is not None
        self._apply_state(read_state(self._store, name))
        self._applied(commit)

    def catch_up(self) -> bool:
        """Apply the next commit; False when there is none. Raises Promoted, DataDamaged, OSError."""
        commit = read_commit(self._store, self.number + 1)
        if commit is None:
            return False
        self._head_number = max(self._head_number, commit.number)
        if commit.epoch < self.epoch:
            raise DataDamaged(
                f"epoch {commit.epoch} follows epoch {self.epoch}",
                path=f"{self._store.location}/commits/{commit.number}",
                hint=_HINT,
            )
        if commit.promotes and commit.leader == self._role.id:
            raise Promoted(commit)
        if commit.state is not None:
            self._apply_state(read_state(self._store, commit.state))
        for number, pieces in commit.log.items():
            if number in self._logs:
                self._logs[number].append(pieces, self._store)
                self._logs[number].publish()
        self._applied(commit)
        return True

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    # --- steps --------------------------------------------------------------------------------------

    def _applied(self, commit: Commit) -> None:
        self.number, self.epoch, self.shipped_us = commit.number, commit.epoch, commit.time_us
        if commit.state is not None:
            self._role = self._role.model_copy(update={"epoch": commit.epoch, "number": commit.number})
            write_role(self._filesystem, self._directory, self._role)

    def _apply_state(self, state: State) -> None:
        for number, collection in state.collections.items():
            self._apply_collection(number, collection)
        path = self._directory / filename.CATALOGUE
        if state.catalogue is not None:
            content = state.catalogue.encode()
            if not self._filesystem.exists(path) or self._filesystem.read(path) != content:
                replace_file(self._filesystem, self._directory, filename.CATALOGUE, content)
        for number in self._logs.keys() - state.collections.keys():
            self._logs.pop(number).close()
        self._remove_dropped(state)

    def _remove_dropped(self, state: State) -> None:
        above = self._directory / filename.COLLECTIONS
        with contextlib.suppress(FileNotFoundError):
            for name in self._filesystem.names(above):
                if name.isdecimal() and int(name) not in state.collections:
                    remove_tree(self._filesystem, above / name)

    def _apply_collection(self, number: int, state: CollectionState) -> None:
        directory = collection_directory(self._directory, number)
        if number != DEFAULT_NUMBER:
            make_directories(self._filesystem, directory)
        place = f"{self._store.location}, MANIFEST of collection {number}"
        manifest = decode_manifest(state.manifest.encode(), Path(place))
        # Another history may give other files the names of those that are here: after a restore of the leader.
        is_new = self._history_of(directory) not in (None, manifest.history)
        names = {one.name for one in manifest.files}
        for name, file in state.files.items():
            self._fetch(directory, name, file, names, prove=is_new)
        log = self._logs.get(number)
        if log is None or is_new:
            if log is not None:
                log.close()
            log = self._logs[number] = MirroredLog(self._filesystem, directory, anew=is_new)
        log.append(state.log, self._store)
        log.sync()
        self._filesystem.sync_directory(directory)
        before = log.manifest
        write_manifest(self._filesystem, directory, manifest)
        log.adopt(manifest)
        log.publish()
        if before != manifest:
            self._remove_unnamed(directory, manifest.file_names)

    def _history_of(self, directory: Path) -> str | None:
        """The history that stands in a directory; None when there is none yet."""
        with contextlib.suppress(FileNotFoundError):
            return read_manifest(self._filesystem, directory).history
        return None

    def _fetch(self, directory: Path, name: str, file: StoredFile, names: set[str], *, prove: bool) -> None:
        """Have a file of a segment here, proved. Files never change, so one that is here whole stays, with `prove` if
        it holds what it should."""
        path = directory / name
        if name not in names or not filename.is_data_file(name):
            raise DataDamaged(
                f"names {name!r}, which its MANIFEST does not", path=self._store.location, hint=_HINT
            )
        if self._is_here(path, file, prove=prove):
            return
        temporary = directory / filename.temporary(name)
        for leftover in (temporary, path):
            with contextlib.suppress(FileNotFoundError):
                self._filesystem.remove(leftover)
        sha256 = _written(self._filesystem, temporary, self._store.pieces(segment_name(file.sha256)))
        if sha256 != file.sha256:
            raise DataDamaged(
                "its content does not match its name",
                path=f"{self._store.location}/{segment_name(file.sha256)}",
                hint=_HINT,
            )
        self._filesystem.replace(temporary, path)

    def _is_here(self, path: Path, file: StoredFile, *, prove: bool) -> bool:
        if not self._filesystem.exists(path) or self._filesystem.size(path) != file.size_bytes:
            return False
        return not prove or hashlib.sha256(self._filesystem.map(path)).hexdigest() == file.sha256

    def _remove_unnamed(self, directory: Path, ours: set[str]) -> None:
        for name in self._filesystem.names(directory):
            if filename.is_data_file(name) and name not in ours:
                with contextlib.suppress(OSError):
                    self._filesystem.remove(directory / name)


def _written(filesystem: FileSystem, path: Path, pieces: Iterable[bytes]) -> str:
    """Write a new file, synced; the SHA-256 of its content."""
    sha256, file = hashlib.sha256(), filesystem.create(path)
    try:
        for piece in pieces:
            sha256.update(piece)
            write_all(file, piece)
        file.sync(data_only=False)
    finally:
        file.close()
    return sha256.hexdigest()
