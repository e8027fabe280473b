"""Threads that do jobs for others, so that an exception from a signal handler tears nothing.

Signal handlers run in the main thread, between any two steps of what it does, and may raise: Ctrl-C does. Work that
must be done wholly or not at all is therefore handed to another thread, where no handler runs, and the main thread
only waits for it. The hand-over itself uses locks and SimpleQueue, which are C. Conditions, and Events, Semaphores,
Queues and Futures made of them, are Python: an exception inside one can leave its lock taken for ever.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar, cast

_Result = TypeVar("_Result")

INTERRUPTED_WAIT_S: Final = 5.0
"""After an interrupt the caller waits this long for the end of its job; then it goes on in the background."""


class Job(Generic[_Result]):
    """Something that is done once, and what came of it. One thread may wait for it."""

    __slots__ = ("_done", "_error", "_result", "_work", "over")

    def __init__(self, work: Callable[[], _Result]) -> None:
        self._work: Callable[[], _Result] | None = work
        self._result: _Result | None = None
        self._error: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        self.over = False

    def run(self) -> None:
        """Do it. For the one thread whose job it is."""
        work, self._work = self._work, None
        assert work is not None
        try:
            self._result = work()
        except BaseException as error:
            self._error = error
        del work
        self.over = True
        self._done.release()

    def wait(self, timeout_s: float = -1) -> None:
        """Wait for the end, whatever it is. An exception from a signal handler ends the wait, not the job."""
        while not self.over:
            if not self._done.acquire(timeout=timeout_s):
                return

    def result(self) -> _Result:
        """What the work returned, once. Raises what it raised."""
        self.wait()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # or it would hold this frame, and so all that the caller holds, in a circle
        result, self._result = self._result, None
        return cast(_Result, result)


class JobThread:
    """One thread, started when it is first needed, that does jobs in their order."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._started = False
        self._last: Job[object] | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing it has to do."""
        return self._last is None or self._last.over

    def submit(self, work: Callable[[], _Result]) -> Job[_Result]:
        """Have `work` done by the thread. Raises RuntimeError when no thread can be started."""
        if not self._started:
            _thread.start_new_thread(_serve, (self._jobs,))
            self._started = True
        job = Job(work)
        self._last = cast(Job[object], job)
        self._jobs.put(self._last)
        return job

    def stop(self) -> None:
        """End the thread once it has done what it was given. A later job starts another."""
        if self._started:
            self._started = False
            self._jobs.put(None)

    def __del__(self) -> None:
        # The thread knows the queue alone, so whoever has this object can be collected while it waits for jobs.
        self.stop()

    def call(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns. Called by the main thread, it is done by this one, and an exception from a signal
        handler reaches the caller after it is done, or after INTERRUPTED_WAIT_S."""
        if threading.get_ident() != threading.main_thread().ident:
            return work()
        job = self.submit(work)
        try:
            job.wait()
        except BaseException:
            job.wait(INTERRUPTED_WAIT_S)
            raise
        return job.result()


def _serve(jobs: SimpleQueue[Job[object] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # what the job was about must not be held until the next one comes
