"""The archive of a leader, in the background: ships within max_lag_ms, tells how far behind the archive is, and ends
the lead when another has taken it.

The store may fail, be slow or repeat: what fails is tried again after a while, writes go on, and `warning` says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pykyro.memory.account import Charge
from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.types import LSN
from pykyro.replication.objects import ArchiveStore, open_archive
from pykyro.replication.role import new_role, read_role, write_role
from pykyro.replication.shipping import LostLead, Shipping
from pykyro.storage.files.filesystem import FileSystem
from pykyro.system.alarm import Alarm
from pykyro.system.backoff import pause_s
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)

_LOOK_IDLE_S: Final = 5.0
"""A leader that has nothing to ship looks this often whether another leads."""
_AFTER_FAILURE_S, _AFTER_FAILURES_S_MAX = 0.25, 30.0
_ROLE_EVERY: Final = 100
"""Commits between two notes of how far this directory has shipped."""
_STOP_S: Final = 10.0
SHIPPED_WAIT_S: Final = 30.0
"""How long a write waits for its commit object, where it is acknowledged once it is shipped."""


class Leading:
    """Any thread may call any method."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        url: str,
        clock: Clock,
        charge: Charge,
        *,
        max_lag_ms: int,
        store: ArchiveStore | None = None,
    ) -> None:
        """Takes the lead of the archive, or finds that this directory has it. Raises FailedPrecondition when another
        has, DataDamaged, InvalidArgument, OSError."""
        self._filesystem = filesystem
        self._directory = directory
        role = read_role(filesystem, directory)
        if role is None or (role.url != url and not role.follows):
            role = new_role(url, follows=False)
        self._store = store or open_archive(url)
        self._shipping = Shipping(filesystem, directory, self._store, role, clock, charge)
        self._shipping.begin()
        write_role(filesystem, directory, role.model_copy(update={"follows": False}))
        self._noted = 0
        self._interval_s = max_lag_ms / 2000
        self._alarm = Alarm(_log, clock)
        self._wake = threading.Event()
        self._shipped = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._fresh_s = time.monotonic()
        """Everything that was acknowledged before this moment is shipped."""
        self._looked_s = time.monotonic()
        self.lost_lead = ""
        """Why this directory leads no more; empty while it does."""
        self.warning = ""
        """Why shipping fails; empty while it does not."""
        self.failures = 0
        self.on_lost: Callable[[str], None] = lambda reason: None
        """Told once, when another has taken the lead."""

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def epoch(self) -> int:
        return self._shipping.epoch

    @property
    def commits(self) -> int:
        """The number of the newest commit."""
        return self._shipping.number

    @property
    def bytes_shipped(self) -> int:
        """Bytes of the log since the start."""
        return self._shipping.bytes_shipped

    @property
    def lag_s(self) -> float:
        """How old the oldest acknowledged write may be that is not shipped: what losing this machine now would
        take."""
        return time.monotonic() - self._fresh_s

    def shipped_position(self, number: int) -> LSN:
        """Up to where this collection is shipped."""
        return self._shipping.positions().get(number, 0)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="kyrodb-archive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ship what there is, if the store takes it at once, and end."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            # A store that does not answer must not keep a server from ending; nothing that counts is half done.
            self._thread.join(_STOP_S)
        with self._shipped:
            self._shipped.notify_all()

    def wait_shipped(self, number: int, position: LSN) -> None:
        """Return when this position of a collection is shipped. Raises Unavailable when that takes too long, or when
        another leads."""
        self._wake.set()
        until_s = time.monotonic() + SHIPPED_WAIT_S
        with self._shipped:
            while not self.lost_lead and self.shipped_position(number) < position:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or self._stopping:
                    raise Unavailable(
                        f"written here, but not yet shipped to {self.location}, so it is not acknowledged: "
                        f"{self.warning or 'the store is slow'}. It may still take effect"
                    )
                self._shipped.wait(left_s)
        if self.lost_lead:
            raise Unavailable(f"not acknowledged: {self.lost_lead}")

    # --- in the background ---------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while True:
            ended = self._stopping
            try:
                rest_s = self._round()
                failures = 0
            except LostLead as lost:
                self._lose(lost)
                return
            except (KyroError, OSError) as error:
                failures += 1
                self._failed(error)
                rest_s = pause_s(failures, _AFTER_FAILURE_S, _AFTER_FAILURES_S_MAX)
            except Exception as error:
                failures += 1
                _log.exception("nobody foresaw this failure of the archive")
                self._failed(error)
                rest_s = _AFTER_FAILURES_S_MAX
            if ended:
                return
            # While the store fails, nobody who waits may make it fail faster.
            if failures:
                time.sleep(0 if self._stopping else min(rest_s, _AFTER_FAILURE_S))
                self._wait(rest_s - _AFTER_FAILURE_S)
            else:
                self._wait(rest_s)

    def _wait(self, rest_s: float) -> None:
        if rest_s > 0 and not self._stopping:
            self._wake.wait(rest_s)
        self._wake.clear()

    def _round(self) -> float:
        """Ship what there is; seconds until the next round. Raises LostLead, KyroError, OSError."""
        began_s, shipping = time.monotonic(), self._shipping
        if shipping.has_news:
            everything = shipping.ship()
            self._looked_s = began_s
            if everything:
                # What came while it was shipped is younger than this.
                self._fresh_s = began_s
            self._recovered()
            with self._shipped:
                self._shipped.notify_all()
            if shipping.number - self._noted >= _ROLE_EVERY:
                self._note()
            return max(0.0, self._interval_s - (time.monotonic() - began_s))
        self._fresh_s = began_s
        if began_s - self._looked_s >= _LOOK_IDLE_S:
            self._looked_s = began_s
            shipping.check_lead()
            self._recovered()
        return self._interval_s

    def _note(self) -> None:
        shipping = self._shipping
        self._noted = shipping.number
        role = shipping.role.model_copy(
            update={"epoch": shipping.epoch, "number": shipping.number, "follows": False}
        )
        write_role(self._filesystem, self._directory, role)

    def _recovered(self) -> None:
        if not self._noted:
            self._note()
        if self.warning:
            self.warning = ""
            self._alarm.off(f"{self.location} takes what is shipped again")

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.warning = f"shipping to {self.location} fails: {error}"
        self._alarm.on(f"{self.warning}. Writes go on and stand on this machine alone")
        with self._shipped:
            self._shipped.notify_all()

    def _lose(self, lost: LostLead) -> None:
        self.lost_lead = str(lost)
        _log.error("%s", lost)
        self.on_lost(self.lost_lead)
        with self._shipped:
            self._shipped.notify_all()
