"""The part that a server has in an archive: it leads one, follows one, or has none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from pykyro.config import Settings
from pykyro.config.place import is_object_store
from pykyro.database.collections import Collections
from pykyro.database.opening import engine_options, open_collections, open_database
from pykyro.database.read_collections import ReadCollections
from pykyro.engine.engine import Engine
from pykyro.engine.pending_write import Answer
from pykyro.engine.reading.open_reader import open_reader
from pykyro.memory.budget import MemoryBudget
from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.requests import Ack
from pykyro.replication.follower import Follower
from pykyro.replication.leading import Leading
from pykyro.replication.objects import check_archive_url, normal_place
from pykyro.replication.role import read_role
from pykyro.service.server_state import ServerState
from pykyro.storage import filename
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.opening_errors import opening_error
from pykyro.storage.manifest import read_manifest
from pykyro.system.clock import SystemClock

_log: Final = logging.getLogger(__name__)


class Replica:
    """What a server opens, and how it ends. Made and used in threads that may wait."""

    def __init__(self, settings: Settings, memory: MemoryBudget) -> None:
        """Follows the archive, if the settings say so and nobody has made this directory its leader. Raises
        KyroError, OSError."""
        self._settings = settings
        self._memory = memory
        self._filesystem = LocalFileSystem()
        self._directory = settings.persistence.data_dir.absolute()
        self.leading: Leading | None = None
        self.follower: Follower | None = None
        self._url = settings.archive.url
        if settings.archive.follow is not None:
            self._follow(normal_place(settings.archive.follow))

    def _follow(self, url: str) -> None:
        role = read_role(self._filesystem, self._directory)
        if role is None or role.follows:
            _log.info("following %s into %s", url, self._directory)
            follower = Follower(self._filesystem, self._directory, url, SystemClock())
            if follower.promoted is None:
                self.follower = follower
                return
            follower.take_lead()
        elif role.url != url:
            raise FailedPrecondition(
                f"{self._directory} leads {role.url}: to follow {url}, name an empty directory"
            )
        _log.warning(
            "%s was made the leader of %s, so it leads it instead of following", self._directory, url
        )
        self._url = url

    def open_engine(self) -> Engine:
        """The engine of `default`. Raises KyroError, OSError."""
        if self.follower is None:
            return open_database(self._as_stored(), self._memory)
        follower = self.follower
        options = engine_options(self._as_stored())
        try:
            engine = open_reader(
                self._directory, options, memory=self._memory, refusal=lambda: _refusal(follower)
            )
        except BaseException:
            follower.stop()
            raise
        _log.info("serving %d documents at position %d", engine.documents, engine.recovered.last_lsn)
        return engine

    def open_collections(self, default: Engine) -> Collections:
        """Those of the database. Raises DataDamaged, DataDirMismatch, StorageError."""
        settings, follower = self._settings.collections, self.follower
        if follower is None:
            return open_collections(self._settings, default, self._memory)
        try:
            return ReadCollections(
                self._directory,
                default,
                default.options,
                memory=self._memory,
                open_max=settings.max_open,
                idle_s=float(settings.idle_secs),
                refusal=lambda: _refusal(follower),
            )
        except OSError as error:
            raise opening_error(error, self._directory) from error

    def start(
        self, server_state: ServerState, collections: Collections, promoted: Callable[[], None]
    ) -> None:
        """Begin to lead or to follow; `promoted` is called when the archive makes this directory the leader. Raises
        KyroError, OSError."""
        if self.follower is not None:
            _keep_up(self.follower, collections)
            self.follower.on_promoted = promoted
            server_state.follower = self.follower
            self.follower.start()
        elif self._url is not None:
            archive = self._settings.archive
            charge = self._memory.account("archive").charge()
            self.leading = Leading(
                self._filesystem,
                self._directory,
                normal_place(self._url),
                SystemClock(),
                charge,
                max_lag_ms=archive.max_lag_ms,
            )
            _lead(self.leading, collections, waits=archive.acknowledge == "shipped")
            server_state.leading = self.leading
            self.leading.start()
            _log.info("shipping to %s, epoch %d", self.leading.location, self.leading.epoch)

    def stop(self) -> None:
        """Ship what there is, or stop following."""
        if self.leading is not None:
            self.leading.stop()
        if self.follower is not None:
            self.follower.stop(keep_lock=self.follower.promoted is not None)

    def take_lead(self) -> None:
        """Once everything that reads it is closed: make the directory that of a leader if the archive says so."""
        if self.follower is not None and self.follower.promoted is not None:
            self.follower.take_lead()

    def _as_stored(self) -> Settings:
        """The settings with the properties of the collection default that is there, where it came from an archive."""
        if self._settings.archive.follow is None:
            return self._settings
        try:
            manifest = read_manifest(self._filesystem, self._directory)
        except FileNotFoundError:
            raise FailedPrecondition(
                f"{self._settings.archive.follow} holds no collection default, which a server has"
            ) from None
        hnsw = self._settings.hnsw.model_copy(
            update={"dimension": manifest.dimension, "distance": manifest.metric.value}
        )
        return self._settings.model_copy(update={"hnsw": hnsw})


def _refusal(follower: Follower) -> str:
    return (
        f"this server follows {follower.location} and takes no writes: send them to its leader. If that is lost, "
        "kyrodb promote makes this server the leader"
    )


def _keep_up(follower: Follower, collections: Collections) -> None:
    def show() -> None:
        for engine in (collections.default_engine, *collections.open.engines().values()):
            if engine.following is not None:
                engine.following.catch_up()

    follower.on_applied = show
    if collections.default_engine.following is not None:
        collections.default_engine.following.upstream = lambda: follower.warning


def _lead(leading: Leading, collections: Collections, *, waits: bool) -> None:
    """End the writes of every engine when another leads; with `waits`, have them answered once they are shipped."""
    opened_before = collections.on_open

    def opened(engine: Engine) -> None:
        opened_before(engine)
        if waits:
            engine.writes.before_answers = _ShippedAnswers(leading, engine)
        if leading.lost_lead:
            _end_writes(engine, leading.lost_lead)

    def lost(reason: str) -> None:
        collections.read_only = reason
        for engine in (collections.default_engine, *collections.open.engines().values()):
            _end_writes(engine, reason)

    collections.on_open = opened
    leading.on_lost = lost
    if waits:
        default = collections.default_engine
        default.writes.before_answers = _ShippedAnswers(leading, default)


def _end_writes(engine: Engine, reason: str) -> None:
    engine.writes.refusing = reason
    engine.writes.read_only = lambda: reason


class _ShippedAnswers:
    """Answers to writes of one collection that wait until the archive has them."""

    def __init__(self, leading: Leading, engine: Engine) -> None:
        self._leading = leading
        above = engine.directory.parent.name
        self._number = int(engine.directory.name) if above == filename.COLLECTIONS else DEFAULT_NUMBER

    def __call__(self, answers: list[Answer]) -> list[Answer]:
        positions = [answer.lsn for answer in answers if isinstance(answer, Ack)]
        if not positions:
            return answers
        try:
            self._leading.wait_shipped(self._number, max(positions))
        except KyroError as error:
            return [error if isinstance(answer, Ack) else answer for answer in answers]
        return answers


def archive_faults(settings: Settings) -> Sequence[str]:
    """What keeps a server from using its archive, as far as can be said without a look at it."""
    faults, archive = [], settings.archive
    if archive.url is not None and archive.follow is not None:
        faults.append(
            f"archive.follow = {archive.follow}: a server follows an archive or leads one (archive.url), not both"
        )
    if archive.follow is not None and settings.backup.interval_secs is not None:
        faults.append(
            f"backup.interval_secs = {settings.backup.interval_secs}: a follower takes no backups, its leader does"
        )
    for name, place in (("url", settings.archive.url), ("follow", settings.archive.follow)):
        if place is not None and is_object_store(place):
            try:
                check_archive_url(place)
            except KyroError as error:
                faults.append(f"archive.{name} = {error}")
    return faults
