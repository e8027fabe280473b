"""A reader keeps up with the process that writes its directory.

    frames      that were accepted are applied in order, as recovery applies them, and the caches are told
    segments    when the MANIFEST names others after a seal or a merge, they take the place of tiers that hold the
                same documents. Rows that have died since the sealed position are those of the documents that the log
                has named since (takeover.py)
    otherwise   (the log was trimmed further than it was read, another history stands there, the writer sealed where
                no log segment ends) the state is made anew from segments and log, as in recovery (rebuilding.py)

A read that begins calls `catch_up`, so it sees everything that was acknowledged before, in whatever process. The
background does the same, so that a reader that nobody asks does not fall behind.

Documents that are due are taken out of the tiers here as well, since no frame says so at the instant itself. When a
frame changes one of those after all (its instant was moved, just before), the state is made anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from pykyro.engine.context import EngineContext
from pykyro.engine.freshness import behind
from pykyro.engine.reading.rebuilding import READING, Unsealed, rebuilt
from pykyro.engine.reading.takeover import take_over
from pykyro.engine.state import State
from pykyro.model.errors import DataDamaged, KyroError, StorageError, Unavailable
from pykyro.model.freshness import Freshness
from pykyro.model.types import LSN
from pykyro.storage.files.opening_errors import opening_error
from pykyro.storage.log_feed import BrokenOff, LogFeed
from pykyro.storage.manifest import Manifest, require_local
from pykyro.storage.wal.format import OPERATION, SEAL, Frame
from pykyro.storage.wal.records import MergeRecord, MetadataRecord, Record
from pykyro.system.alarm import Alarm
from pykyro.system.rounds import LOOK_S, Round, Rounds

_log: Final = logging.getLogger(__name__)

FOLLOWS: Final = Rounds("kyrodb-following", 1)
"""The background of all readers of this process."""
_APPLIED_TOGETHER: Final = 256
"""Frames. While they are applied no cache answers."""
_RELEASE_INTERVAL_S: Final = 5.0
_REST_S: Final = 0.002
"""Between two looks of a read that waits for a position."""


class _Gone(Exception):
    """A frame changes a document that was taken out here."""


class Following:
    """Any thread may call any method."""

    def __init__(self, context: EngineContext, feed: LogFeed, unsealed: Unsealed) -> None:
        """`context` holds what `feed` has handed out, of which `unsealed` is not sealed."""
        self._context = context
        self._unsealed = unsealed
        self._feed = feed
        self._built_from = _segments_of(feed.manifest)
        self._lock = threading.RLock()
        self._is_behind = False
        """Whether frames may have been read that are not applied yet."""
        self._round: Round | None = None
        self._alarm = Alarm(_log, context.clock)
        self._released_s = 0.0
        self.failure = ""
        """Why it does not keep up; empty while it does."""
        self.upstream: Callable[[], str] = lambda: ""
        """Says why whoever writes the directory does not keep up, where it is a mirror."""
        self.rebuilt = self.taken_over = 0
        """How often the state was made anew, and how often segments took the place of tiers."""

    @property
    def trouble(self) -> str:
        """Why what is shown may be behind; empty while it is not."""
        return self.failure or self.upstream()

    def start(self) -> None:
        """Begin to keep up in the background."""
        self._round = FOLLOWS.add(self._should_look, self._looked)

    def stop(self) -> None:
        if self._round is not None:
            FOLLOWS.end(self._round)

    def catch_up(self) -> None:
        """Return when everything is visible that was accepted before the call. Raises StorageError."""
        try:
            # In this order: frames that were read are applied a moment later.
            if self._is_behind or self._feed.has_news:
                with self._lock:
                    self._is_behind = True
                    self._advance()
                    self._is_behind = False
        except FileNotFoundError as error:
            raise StorageError(
                f"{error.filename or 'a file'} is missing: the directory was moved or removed while it was read",
                path=self._context.directory,
                hint="Put it back, or close this reader and open the directory where it is now",
            ) from error
        except OSError as error:
            raise opening_error(error, self._context.directory) from error

    def wait_for(self, wanted: Freshness | None) -> None:
        """Return when the position that is wanted is visible. Raises Unavailable when it is not in time."""
        if wanted is None:
            return
        until_s, state = time.monotonic() + wanted.max_wait_s, self._context.state
        while True:
            self.catch_up()
            if state.position >= wanted.min_position:
                return
            if time.monotonic() >= until_s:
                raise Unavailable(behind(state, wanted))
            time.sleep(_REST_S)

    # --- steps --------------------------------------------------------------------------------------

    def _advance(self) -> None:
        try:
            self._apply_new()
        except BrokenOff as reason:
            self._rebuild(None, str(reason))
        except _Gone:
            self._rebuild(None, "")
        else:
            manifest = self._feed.manifest
            # They may have been moved while this reads.
            require_local(manifest, self._context.directory, READING)
            if _segments_of(manifest) != self._built_from:
                try:
                    if take_over(self._context, manifest, self._unsealed):
                        self._built_from = _segments_of(manifest)
                        self.taken_over += 1
                        return
                except FileNotFoundError:
                    pass  # the writer went on; what follows begins with the newest MANIFEST
                self._rebuild(self._context.state.position, "")

    def _apply_new(self) -> None:
        waiting: list[Frame] = []
        for frame in self._feed.frames():
            waiting.append(frame)
            if len(waiting) >= _APPLIED_TOGETHER:
                self._apply(waiting)
                waiting = []
        self._apply(waiting)

    def _apply(self, frames: Sequence[Frame]) -> None:
        context, manifest = self._context, self._feed.manifest
        context.manifests.current = manifest
        if not frames:
            return
        state, caches = context.state, context.caches
        with context.lock:
            state.may_expire = state.may_expire or manifest.has_expiry
            state.tenants.count(manifest.tenants.values(), state.version.oldest_first)
            version, changed = state.version, list[Record]()
            caches.begin()
            for frame in frames:
                if frame.kind == OPERATION:
                    records = self._feed.records(frame)
                    self._require_changed(frame.lsn, records)
                    state.apply_beside_readers(frame.lsn, records)
                    changed += records
                    self._unsealed.note(frame.lsn, records)
                elif frame.kind == SEAL:
                    self._unsealed.log_segment_ended(frame.lsn, state)
                state.position = frame.lsn
            caches.committed(changed)
            context.writes.expiration.forget_unlogged()
            state.version.active.charge()
        if state.version is not version:
            caches.release_tiers()

    def _require_changed(self, lsn: LSN, records: Sequence[Record]) -> None:
        state = self._context.state
        for record in records:
            if isinstance(record, (MetadataRecord, MergeRecord)) and state.locate(record.key) is None:
                if state.may_expire:
                    raise _Gone
                raise DataDamaged(
                    f"position {lsn} changes a document that is not there",
                    path=self._context.directory,
                    hint="Restore from a backup",
                )

    def _rebuild(self, until: LSN | None, reason: str) -> None:
        """Make the state anew; up to position `until` the documents stay what they are."""
        context = self._context
        known = {segment.entry.number: segment for segment in context.state.version.cold}
        fresh, feed, unsealed = rebuilt(
            context.filesystem, context.directory, context.options, context.memory, known, until
        )
        is_same = fresh.position == until
        if reason:
            _log.info("%s is read anew, up to position %d: %s", context.directory, fresh.position, reason)
        with context.lock:
            # Whoever looked before whether anything is due must not find it again now.
            self._remove_due(fresh)
            context.caches.begin()
            context.state.adopt(fresh)
            if not is_same:
                context.caches.forget_all()
            context.caches.committed(())
            context.manifests.current = feed.manifest
        context.caches.release_tiers()
        self._feed, self._built_from = feed, _segments_of(feed.manifest)
        self._unsealed = unsealed
        self.rebuilt += 1

    def _remove_due(self, fresh: State) -> None:
        now_us = self._context.clock.wall_us()
        if fresh.may_expire and fresh.expires_from_us <= now_us:
            for one in list(fresh.due(now_us)):
                fresh.remove(one)
            fresh.expires_from_us = fresh.next_expiry_us(now_us)

    # --- in the background ---------------------------------------------------------------------------

    def _should_look(self) -> bool:
        return (
            time.monotonic() - self._released_s > _RELEASE_INTERVAL_S
            or self._is_behind
            or self._feed.has_news
            or self._context.writes.expiration.has_work
        )

    def _looked(self) -> float:
        try:
            if time.monotonic() - self._released_s > _RELEASE_INTERVAL_S:
                self._released_s = time.monotonic()
                for segment in self._context.state.version.cold:
                    self._context.filesystem.release_pages(segment.mapping)
            self.catch_up()
            if self._context.writes.expiration.has_work:
                self._context.writes.expiration.carry_out()
        except KyroError as error:
            self.failure = str(error)
            self._alarm.on(f"this reader does not keep up: {error}")
            return 1.0
        if self.failure:
            self.failure = ""
            self._alarm.off("this reader keeps up again")
        return LOOK_S


def _segments_of(manifest: Manifest) -> object:
    return manifest.sealed_lsn, manifest.segments
