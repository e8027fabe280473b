"""The background of the document cache: training, comparing vectors, reviewing policies, keeping what was learned.

What was learned is written after each training and when the engine closes. It is worth a warm start and nothing
else: a file that cannot be read or written is only logged.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from kyrodb.cache.document_cache import DocumentCache
from kyrodb.clock import Clock
from kyrodb.engine.context import EngineContext
from kyrodb.storage import filename
from kyrodb.storage.checksum import digest
from kyrodb.storage.replace_file import replace_file

_log: Final = logging.getLogger(__name__)
_DIGEST_BYTES: Final = 32
_COMPARE_S: Final = 1.0
"""How often documents that missed the threshold are compared."""
STATE_BYTES_MAX: Final = 1 << 30


class Training:
    """Everything happens in `step`, which a thread calls every second, and a test itself."""

    def __init__(self, context: EngineContext, documents: DocumentCache, interval_s: float) -> None:
        self._context = context
        self._documents = documents
        self._interval_s = interval_s
        self._clock: Clock = context.clock
        self._trained_s = self._clock.monotonic_s()
        self._stopping = threading.Event()
        self.thread: threading.Thread | None = None
        self.failures = 0
        """Times training ended by an error."""
        self.restarts = 0
        """Times it went on after one."""
        self._restore()

    def start(self) -> None:
        """Work in a thread of its own."""
        self.thread = threading.Thread(target=self._run, name="kyrodb-training", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Stop, and write down what was learned."""
        self._stopping.set()
        if self.thread is not None:
            self.thread.join()
        self._save()

    def step(self) -> bool:
        """Do what is due; whether there was a training."""
        self._documents.compare()
        now_s = self._clock.monotonic_s()
        if now_s - self._trained_s < self._interval_s:
            return False
        self._trained_s = now_s
        trained = self._documents.train()
        self._documents.review()
        if trained:
            self._save()
        return trained

    def _run(self) -> None:
        while not self._stopping.wait(_COMPARE_S):
            self.restarts = self.failures
            try:
                self.step()
            except Exception:
                self.failures += 1
                _log.exception("training of the document cache failed and will be tried again")

    def _save(self) -> None:
        state = self._documents.learned_state()
        data = digest(state).encode() + state
        try:
            replace_file(self._context.filesystem, self._context.directory, filename.PREDICTOR, data)
        except OSError as error:
            _log.warning("what the document cache learned could not be written: %s", error)

    def _restore(self) -> None:
        path = self._context.directory / filename.PREDICTOR
        try:
            if not self._context.filesystem.exists(path):
                return
            data = self._context.filesystem.read(path, limit=STATE_BYTES_MAX)
            state = data[_DIGEST_BYTES:]
            if digest(state).encode() != data[:_DIGEST_BYTES]:
                raise ValueError("its digest is wrong")
            self._documents.restore(state)
        except (OSError, ValueError) as error:
            _log.warning("%s is not used: %s", path, error)
