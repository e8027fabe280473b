"""A leader ships its database to the archive, commit after commit.

    gather    what is new in each collection; files of segments are uploaded as they are found
    upload    the pieces of the log, and the state when more than the log has changed
    commit    created under the next number. One that is there already is another leader's, and this directory leads
              no more (`LostLead`), unless it is this very one, whose answer was lost

What fails is tried again as a whole: objects are named by their content, so those that are there are the same.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from pykyro.memory.account import Charge
from pykyro.model.cold_tier import LOCAL
from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.types import LSN
from pykyro.replication.collection_log import PIECE_BYTES, CollectionLog, Shipment
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.records import (
    CollectionState,
    Commit,
    State,
    commit_name,
    encode,
    last_commit,
    newest_state,
    read_commit,
    read_state,
    state_name,
)
from pykyro.replication.role import Role
from pykyro.replication.standing import only_here
from pykyro.storage import filename
from pykyro.storage.catalogue import Catalogue, collection_directory, decode_catalogue, encode_catalogue
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.watched_file import WatchedFile
from pykyro.system.clock import Clock


class LostLead(KyroError):
    """Another directory leads the archive."""

    def __init__(self, commit: Commit, location: str) -> None:
        super().__init__(
            f"{commit.host} ({commit.leader}) leads {location}, epoch {commit.epoch}: this directory leads no more "
            "and takes no writes. Point clients to the new leader; what stands here stays as it is"
        )
        self.commit = commit


@dataclass(frozen=True, slots=True)
class _Pending:
    """A commit that is to be made, and what is shipped by it."""

    commit: Commit
    found: dict[int, Shipment]
    ready: set[int]
    catalogue: str | None


class Shipping:
    """Of one leader. One thread at a time calls it."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        store: ArchiveStore,
        role: Role,
        clock: Clock,
        charge: Charge,
    ) -> None:
        """What it holds in memory is charged to `charge`."""
        self._filesystem = filesystem
        self._directory = directory
        self._store = store
        self._clock = clock
        self._charge = charge
        self._catalogue_path = directory / filename.CATALOGUE
        self._watched = WatchedFile(filesystem, self._catalogue_path)
        self._catalogue: str | None = None
        self._numbers: set[int] = set()
        self._logs: dict[int, CollectionLog] = {}
        self._known: dict[int, CollectionState] = {}
        """What the archive had when this began."""
        self._pending: _Pending | None = None
        self._shipped_numbers: set[int] | None = None
        """Collections of the state that was shipped last; None before the first."""
        self._catalogue_shipped: str | None = None
        self.role = role
        self.epoch = 1
        self.number = 0
        """Of the newest commit."""
        self.bytes_shipped = 0

    def begin(self) -> None:
        """Find out whether this directory may lead. Raises FailedPrecondition, DataDamaged, OSError."""
        head = last_commit(self._store)
        if head is None:
            if self.role.number:
                raise FailedPrecondition(
                    f"{self._store.location} is empty, and this directory has shipped to it up to commit "
                    f"{self.role.number}: set archive.url to where that is now, or to a new place and remove "
                    f"{self._directory / filename.ARCHIVE}"
                )
            return
        if head.leader != self.role.id:
            raise FailedPrecondition(self._refusal(head))
        self.epoch, self.number = head.epoch, head.number
        self._known = read_state(self._store, newest_state(self._store, head.number)[1]).collections

    @property
    def has_news(self) -> bool:
        """Whether there may be something to ship."""
        self._look_for_collections()
        return (
            self._shipped_numbers != self._numbers
            or self._catalogue != self._catalogue_shipped
            or any(log.has_news for log in self._logs.values())
        )

    def positions(self) -> dict[int, LSN]:
        """Up to where each collection is shipped."""
        return {number: log.position for number, log in self._logs.items()}

    def check_lead(self) -> None:
        """Raises LostLead when another leads, OSError."""
        commit = read_commit(self._store, self.number + 1)
        if commit is not None:
            raise LostLead(last_commit(self._store, commit.number) or commit, self._store.location)

    def ship(self) -> bool:
        """Ship what was new when it was called; False when a part has to wait for the next time. Raises LostLead,
        OSError, DataDamaged."""
        if self._pending is not None:
            # Whether it was made is not known, so it is made again as it was.
            self._make(self._pending)
        self._look_for_collections()
        found: dict[int, Shipment] = {}
        everything = True
        with self._charge:
            self._charge.set(PIECE_BYTES)
            for number, log in self._logs.items():
                if log.state is None or log.has_news:
                    # A missing file means that the writer went on; the next round finds what stands there then.
                    try:
                        found[number] = log.gather(self.epoch)
                    except FileNotFoundError:
                        everything = False
        pending = self._commit_of(found)
        if pending is None:
            for number, shipment in found.items():
                self._logs[number].shipped(shipment)
        else:
            self._pending = pending
            self._make(pending)
        return everything

    def _commit_of(self, found: dict[int, Shipment]) -> _Pending | None:
        """What makes these shipments count; None when there is nothing in them."""
        ready = {n for n, log in self._logs.items() if log.state is not None or n in found}
        log = {n: tuple(shipment.pieces) for n, shipment in found.items() if shipment.pieces}
        positions = {n: shipment.position for n, shipment in found.items()}
        has_state = (
            self._shipped_numbers != ready
            or self._catalogue != self._catalogue_shipped
            or any(shipment.state is not None for shipment in found.values())
        )
        if not has_state and not log:
            return None
        state = None
        if has_state:
            # It says where every collection stands, and holds their logs.
            positions = {n: each for n, each in self.positions().items() if n in ready} | positions
            state, log = self._create_state(found, ready), {}
        commit = Commit(
            number=self.number + 1,
            epoch=self.epoch,
            leader=self.role.id,
            host=socket.gethostname(),
            time_us=self._clock.wall_us(),
            token=os.urandom(8).hex(),
            state=state,
            log=log,
            positions=positions,
        )
        return _Pending(commit, found, ready, self._catalogue)

    def _create_state(self, found: dict[int, Shipment], ready: set[int]) -> str:
        collections = {}
        for number in ready:
            shipment, state = found.get(number), self._logs[number].whole_state
            if shipment is not None:
                state = shipment.state or state
                assert state is not None
                state = state.model_copy(update={"log": shipment.all_pieces})
            assert state is not None
            collections[number] = state
        data = encode(State(collections=collections, catalogue=self._catalogue))
        name = state_name(self.number + 1, data)
        with contextlib.suppress(FileExistsError):
            self._store.create(name, data)
        return name

    def _make(self, pending: _Pending) -> None:
        create_commit(self._store, pending.commit)
        self._pending = None
        self.number = pending.commit.number
        for number, shipment in pending.found.items():
            self.bytes_shipped += shipment.size_bytes
            if number in self._logs:
                self._logs[number].shipped(shipment)
        if pending.commit.state is not None:
            self._shipped_numbers, self._catalogue_shipped = pending.ready, pending.catalogue

    def _look_for_collections(self) -> None:
        """See which collections there are. Raises OSError, DataDamaged."""
        if self._watched.is_replaced:
            content = self._watched.content_or_none()
            known = Catalogue() if content is None else decode_catalogue(content, self._catalogue_path)
            here = _with_files(known)
            if len(here.collections) < len(known.collections):
                content, known = encode_catalogue(here), here
            self._catalogue = None if content is None else content.decode()
            numbers = {entry.number for entry in known.collections.values()}
        else:
            numbers = self._numbers - {DEFAULT_NUMBER}
        if DEFAULT_NUMBER in self._logs or self._filesystem.exists(self._directory / filename.MANIFEST):
            numbers = numbers | {DEFAULT_NUMBER}
        for number in self._logs.keys() - numbers:
            del self._logs[number]
        for number in sorted(numbers - self._logs.keys()):
            directory = collection_directory(self._directory, number)
            with contextlib.suppress(FileNotFoundError):
                self._logs[number] = CollectionLog(
                    self._filesystem, directory, self._store, self._known.get(number)
                )
        self._numbers = numbers

    def _refusal(self, head: Commit) -> str:
        tail = only_here(self._filesystem, self._directory, self._store, self.role, head)
        return (
            f"{self._store.location} is led by {head.host} ({head.leader}) since epoch {head.epoch}, not by "
            f"{self._directory} ({self.role.id}). {tail}To serve what the archive holds, start with --follow "
            f"{self._store.location} and an empty data directory; to serve this directory alone, without archive.url"
        )


def create_commit(store: ArchiveStore, commit: Commit) -> None:
    """Make it the next commit of the archive. Raises LostLead when there is another of its number, OSError."""
    data, name = encode(commit), commit_name(commit.number)
    try:
        store.create(name, data)
    except FileExistsError:
        # Made by a request whose answer was lost and that was sent again, it is this one.
        if store.read(name) == data:
            return
        other = read_commit(store, commit.number)
        assert other is not None
        raise LostLead(last_commit(store, other.number) or other, store.location) from None


def _with_files(known: Catalogue) -> Catalogue:
    """The collections whose documents are in files here, and their aliases. What PostgreSQL holds of others is its
    own to keep."""
    there = {name: entry for name, entry in known.collections.items() if entry.cold_tier == LOCAL}
    numbers = {entry.number for entry in there.values()}
    aliases = {alias: number for alias, number in known.aliases.items() if number in numbers or not number}
    return known.model_copy(update={"collections": there, "aliases": aliases})
