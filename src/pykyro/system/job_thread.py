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
    """Work that is done once, and its result. One thread may wait for it."""

    __slots__ = ("_done", "_error", "_result", "_work", "over")

    def __init__(self, work: Callable[[], _Result]) -> None:
        self._work = [work]
        """Taken out by the thread that runs it or by the one that withdraws it, whichever is first."""
        self._result: _Result | None = None
        self._error: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        self.over = False

    def run(self) -> None:
        """Do it, if it was not withdrawn."""
        try:
            work = self._work.pop()
        except IndexError:
            return
        try:
            self._result = work()
        except BaseException as error:
            self._error = error
        del work
        self.over = True
        self._done.release()

    def withdraw(self) -> bool:
        """Whether it was not begun; then it will not be."""
        try:
            self._work.pop()
        except IndexError:
            return False
        return True

    def wait(self, timeout_s: float = -1) -> None:
        """Wait for the end, whatever it is. An exception from a signal handler ends the wait, not the job."""
        while not self.over:
            if not self._done.acquire(timeout=timeout_s):
                return

    def result(self) -> _Result:
        """Wait for the result of the work, once. Raises the error of the work."""
        self.wait()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # or it would hold this frame, and so all that the caller holds, in a circle
        result, self._result = self._result, None
        return cast(_Result, result)

    def forget(self) -> None:
        """Drop the result."""
        self._result = self._error = None


class JobThread:
    """One thread, started when it is first needed, that does jobs in their order."""

    _started = False

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._last: Job[object] | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing it has to do."""
        return self._last is None or self._last.over

    def submit(self, job: Job[_Result]) -> None:
        """Have the job done by the thread. Raises RuntimeError when no thread can be started."""
        if not self._started:
            _thread.start_new_thread(_serve, (self._jobs,))
            self._started = True
        self._last = cast(Job[object], job)
        self._jobs.put(self._last)

    def stop(self) -> None:
        """End the thread once it has done what it was given. A later job starts another."""
        if self._started:
            self._started = False
            self._jobs.put(None)

    def __del__(self) -> None:
        # The thread knows the queue alone, so whoever has this object can be collected while it waits for jobs.
        self.stop()

    def call(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns. Called by the main thread, it is done by this one. Then an exception from a signal
        handler reaches the caller once the work is done, or before it is begun; when it takes longer than
        INTERRUPTED_WAIT_S, it is finished in the background."""
        if threading.get_ident() != threading.main_thread().ident:
            return work()
        job = Job(work)
        try:
            self.submit(job)
            job.wait()
        except BaseException:
            if not job.withdraw():
                job.wait(INTERRUPTED_WAIT_S)
            job.forget()
            raise
        return job.result()


class JobThreads:
    """The two threads of an engine, or of many: one for writes, one for upkeep, which may take long."""

    def __init__(self) -> None:
        self.writer, self.keeper = JobThread(), JobThread()

    def stop(self) -> None:
        """End both once they have done what they were given."""
        self.writer.stop()
        self.keeper.stop()


def _serve(jobs: SimpleQueue[Job[object] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # what the job was about must not be held until the next one comes
