"""A follower, in the background: keeps a mirror of an archive up to date, and tells how far it is behind.

It serves whatever the store does: what fails is tried again after a while, and the lag grows in sight. A damaged or
missing object stops it there, with the object's name, and is tried again as well: it never guesses.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.types import LSN
from pykyro.replication.mirror import Mirror, Promoted
from pykyro.replication.objects import ArchiveStore, open_archive
from pykyro.replication.promotion import take_lead
from pykyro.replication.records import Commit
from pykyro.replication.role import new_role, read_role, write_role
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.lock import lock_directory, make_directories
from pykyro.system.alarm import Alarm
from pykyro.system.backoff import pause_s
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)

_STOP_S: Final = 10.0
_AFTER_FAILURE_S, _AFTER_FAILURES_S_MAX = 0.25, 15.0
_LOOK_AHEAD_EVERY: Final = 20
"""Commits; who is only one behind need not know how far the archive goes."""
POLL_S: Final = 0.2
"""Between two looks for a new commit."""


class Follower:
    """Any thread may call any method."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        url: str,
        clock: Clock,
        *,
        store: ArchiveStore | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        """Takes the lock of the directory and brings it to the newest state of the archive, so that it can be read.
        Then `promoted` says whether the archive names it the leader already.

        Raises FailedPrecondition when the directory holds something else or the archive nothing, DataDirInUse,
        DataDamaged, InvalidArgument, OSError.
        """
        self._filesystem = filesystem
        self._directory = directory
        self._poll_s = poll_s
        self._store = store or open_archive(url)
        self._alarm = Alarm(_log, clock)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lets_go = False
        """Whether the thread lets go of the directory when it ends."""
        self._fresh_s = time.monotonic()
        self.warning = ""
        """Why it does not keep up; empty while it does."""
        self.failures = 0
        self.promoted: Commit | None = None
        """The commit that makes this directory the leader."""
        self.on_applied: Callable[[], None] = lambda: None
        """Told after each commit that was applied."""
        self.on_promoted: Callable[[], None] = lambda: None
        """Told once, when the archive names this directory the leader."""
        make_directories(filesystem, directory)
        self._lock = lock_directory(filesystem, directory)
        try:
            self._begin(url)
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, url: str) -> None:
        role = read_role(self._filesystem, self._directory)
        if role is None:
            if self._filesystem.exists(self._directory / filename.MANIFEST):
                raise FailedPrecondition(
                    f"{self._directory} holds a database of its own: to follow {url}, name an empty directory"
                )
            role = new_role(url, follows=True)
            write_role(self._filesystem, self._directory, role)
        elif not role.follows:
            raise FailedPrecondition(
                f"{self._directory} is the directory of a leader of {role.url}: start it with archive.url instead of "
                "--follow, or follow into an empty directory"
            )
        elif role.url != url:
            raise FailedPrecondition(
                f"{self._directory} follows {role.url}: to follow {url}, name an empty directory"
            )
        self._mirror = Mirror(self._filesystem, self._directory, self._store, role)
        self._mirror.begin()
        self._catch_up()

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def epoch(self) -> int:
        return self._mirror.epoch

    @property
    def commits(self) -> int:
        """The number of the newest commit that was applied."""
        return self._mirror.number

    @property
    def lag_s(self) -> float:
        """How long ago everything in the archive was here."""
        return time.monotonic() - self._fresh_s

    @property
    def lag_commits(self) -> int:
        """Commits that are known to be in the archive and are not here."""
        return self._mirror.behind

    def lag(self) -> dict[str, object]:
        """How far behind it is, for whoever asks whether it is ready."""
        return {
            "following": self.location,
            "epoch": self.epoch,
            "lag_seconds": round(self.lag_s, 3),
            "lag_positions": self.lag_positions,
        }

    @property
    def lag_positions(self) -> int:
        """Positions of the collection default that are known to be in the archive and are not here."""
        return max(0, self._mirror.head_position - self.position(DEFAULT_NUMBER))

    def position(self, number: int) -> LSN:
        """Up to where this collection is here."""
        return self._mirror.position(number)

    def start(self) -> None:
        """Keep up in the background."""
        self._thread = threading.Thread(target=self._run, name="kyrodb-follower", daemon=True)
        self._thread.start()

    def stop(self, *, keep_lock: bool = False) -> None:
        """Keep up no more, and let go of the directory, unless `take_lead` follows. May be called again."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)
            if self._thread.is_alive():
                # A store that does not answer must not keep a program from ending; the thread lets go when it does.
                self._lets_go = not keep_lock
                return
        self._let_go(keep_lock=keep_lock)

    def _let_go(self, *, keep_lock: bool) -> None:
        self._mirror.close()
        if not keep_lock:
            self._lock.release()

    def take_lead(self) -> None:
        """Make the directory that of a leader, once it is promoted and nobody reads it through this process; then it
        may be opened as any database. Raises OSError, DataDamaged."""
        assert self.promoted is not None
        self._mirror.close()
        take_lead(self._filesystem, self._directory, self.promoted)
        self._lock.release()

    # --- in the background ---------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set() and self.promoted is None:
            try:
                self._catch_up()
                failures = 0
                if self.warning:
                    self.warning = ""
                    self._alarm.off(f"{self.location} is followed again")
            except (KyroError, OSError) as error:
                failures += 1
                self._failed(error)
            except Exception as error:
                failures += 1
                _log.exception("nobody foresaw this failure of the follower")
                self._failed(error)
            failed_s = pause_s(failures, _AFTER_FAILURE_S, _AFTER_FAILURES_S_MAX)
            self._stop.wait(failed_s if failures else self._poll_s)
        if self._lets_go:
            self._let_go(keep_lock=False)
        elif self.promoted is not None:
            self.on_promoted()

    def _catch_up(self) -> None:
        began_s, applied = time.monotonic(), 0
        try:
            while self._mirror.catch_up():
                self.on_applied()
                began_s = time.monotonic()
                applied += 1
                if applied % _LOOK_AHEAD_EVERY == 2:
                    self._mirror.look_ahead()
                if self._stop.is_set():
                    return
        except Promoted as told:
            self.promoted = told.commit
            _log.warning("%s", told)
        self._fresh_s = began_s

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.warning = f"following {self.location} fails: {error}"
        self._alarm.on(self.warning)
