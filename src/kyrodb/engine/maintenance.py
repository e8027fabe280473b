"""The background: syncing by timer, sealing, merging, probing the disk after an error.

Everything here happens in `step`, which a test calls itself and a thread calls otherwise.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from kyrodb.engine.context import EngineContext
from kyrodb.engine.merging import Merging
from kyrodb.engine.sealing import Sealing
from kyrodb.errors import KyroError
from kyrodb.storage.breaker import BreakerState

_log = logging.getLogger(__name__)

_IDLE_S: Final = 0.05
_AFTER_FAILURE_S: Final = 1.0
_RELEASE_INTERVAL_S: Final = 5.0
"""Mapping the rows of 100,000 documents again costs a few milliseconds in all."""


class Maintenance:
    """Seals and merges when due. `lock` keeps a flush, a snapshot and the thread apart."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self.sealing = Sealing(context)
        self.merging = Merging(context)
        self.lock = threading.RLock()
        self.last_failure = ""
        self.lock_held: object = None
        """The lock of the directory, which must not be let go of while a thread of these still works."""
        self._stop = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin working in threads of its own."""
        self._spawn("kyrodb-maintenance", self._run)
        if not self._context.options.log.syncs_before_ack and self._context.options.sync_interval_ms:
            self._spawn("kyrodb-wal-sync", self._run_sync)

    def stop(self) -> None:
        """Finish what is being installed, give up what is being built."""
        self._stop.set()
        for thread in self.threads:
            thread.join()
        with self.lock:
            self.merging.cancel()

    def step(self) -> bool:
        """Do one thing that is due; False when nothing is. Raises what sealing and merging raise."""
        self._probe_if_due()
        if not self._context.log.breaker.closed:
            return False
        with self.lock:
            moved = self.sealing.due
            if moved:
                self.sealing.seal()
            else:
                moved = self.merging.step()
        if moved:
            self._context.caches.settle()
        return moved

    def release_pages(self) -> None:
        """Give back the memory of mapped rows: the page cache keeps what is in use, and who needs it most gets it.

        Searches touch rows all over a segment, so without this the process would seem to hold all of them.
        """
        for segment in self._context.state.version.cold:
            self._context.filesystem.release_pages(segment.mapping)

    def flush(self) -> int:
        """Seal what the hot tier holds now; how many documents moved."""
        with self.lock:
            # What an earlier try left frozen comes first, and is not all.
            documents = self.sealing.seal() if self.sealing.interrupted else 0
            documents += self.sealing.seal()
        self._context.caches.settle()
        return documents

    def _probe_if_due(self) -> None:
        log = self._context.log
        if log.breaker.state is BreakerState.OPEN and log.breaker.seconds_to_probe == 0:
            with self._context.writes.lock:
                log.probe()
                self._context.state.position = log.position
            _log.warning(
                "probe of the disk after an error: %s",
                "writes are accepted again" if log.breaker.closed else log.breaker.reason,
            )

    def _spawn(self, name: str, run: object) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self.threads.append(thread)

    def _run(self) -> None:
        pause_s = released_s = 0.0
        while not self._stop.wait(pause_s):
            if self._context.clock.monotonic_s() - released_s > _RELEASE_INTERVAL_S:
                released_s = self._context.clock.monotonic_s()
                self.release_pages()
            try:
                self.sealing.observe()
                pause_s = 0.0 if self.step() else _IDLE_S
                self.last_failure = ""
            except (KyroError, OSError) as error:
                self.last_failure = str(error)
                pause_s = _AFTER_FAILURE_S
                _log.error("background work failed and will be tried again: %s", error)

    def _run_sync(self) -> None:
        # Half the interval, so that a write that just missed one tick is still synced in time.
        while not self._stop.wait(self._context.options.sync_interval_ms / 2000):
            try:
                self._context.log.sync()
            except KyroError as error:
                _log.error("%s", error)
