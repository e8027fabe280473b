"""Work that comes again and again, of many owners, done by a few threads.

Each owner adds a round: `looks_due`, which is cheap and called every LOOK_S, and `work`, which may take long. One
thread at a time leads: it looks at the rounds in turn. When it finds one that is due it hands the lead to another
thread and works itself (leader and followers; Schmidt and others, "Pattern-Oriented Software Architecture" 2, 2000).
So a thousand owners cost one thread as long as nothing is to be done, and the threads end with the last round.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from typing import Final

_log: Final = logging.getLogger(__name__)

LOOK_S: Final = 0.05
"""Between two looks at a round that is not due."""
_LOOK_IDLE_S: Final = 0.2
_IDLE_AFTER_LOOKS: Final = 200
"""So many looks in vain, and a round is looked at less often. One of a thousand idle owners costs 10 us a second."""


class Round:
    """One owner's work. Made by `Rounds.add`."""

    def __init__(self, looks_due: Callable[[], bool], work: Callable[[], float]) -> None:
        self._looks_due: Callable[[], bool] | None = looks_due
        self._work: Callable[[], float] | None = work
        self.working = threading.RLock()
        """Held while its work is done."""
        self.due_s = 0.0
        self._looks_in_vain = 0

    @property
    def is_over(self) -> bool:
        """Whether it will not be worked at any more."""
        return self._work is None

    def look(self, now_s: float) -> bool:
        """Whether there is work; if not, it is due again a little later."""
        looks_due = self._looks_due
        if looks_due is not None and looks_due():
            self._looks_in_vain = 0
            return True
        self._looks_in_vain += 1
        self.due_s = now_s + (LOOK_S if self._looks_in_vain < _IDLE_AFTER_LOOKS else _LOOK_IDLE_S)
        return False

    def run(self) -> None:
        """Work, unless it is over."""
        with self.working:
            work = self._work
            if work is not None:
                self.due_s = time.monotonic() + work()

    def end(self) -> None:
        """Let go of the owner; work that has begun is finished first."""
        self._looks_due = self._work = None
        with self.working:
            pass


class Rounds:
    """The rounds of one kind of work, done by at most `threads_max` threads. Any thread may call any method."""

    def __init__(self, name: str, threads_max: int) -> None:
        self._name = name
        self._threads_max = threads_max
        self._here = threading.local()
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Know of no round and no thread, as in a forked child."""
        # Of the kind that its owner may take again: a finalizer may end a round in the middle of anything.
        self._lock = threading.RLock()
        self._leading = threading.Lock()
        self._inbox: SimpleQueue[Round | None] = SimpleQueue()
        self._waiting: list[tuple[float, int, Round]] = []
        """A heap; it belongs to the thread that leads."""
        self._rounds = self._threads = self._busy = 0

    def add(self, looks_due: Callable[[], bool], work: Callable[[], float]) -> Round:
        """Have `work` done whenever `looks_due`, until `end`.

        `looks_due` is called by a thread that has many others to look at. `work` returns after how many seconds it
        is to be looked at again. Raises RuntimeError when no thread can be started.
        """
        added = Round(looks_due, work)
        with self._lock:
            if not self._threads:
                self._start_thread()
            self._rounds += 1
        self._inbox.put(added)
        return added

    def end(self, ended: Round) -> None:
        """Do its work no more. Returns when what was begun is done, unless it is this thread that does it."""
        if ended.is_over:
            ended.end()
            return
        ended.end()
        with self._lock:
            self._rounds -= 1
            leaving, self._threads = (0, self._threads) if self._rounds else (self._threads, 0)
        for _ in range(leaving):
            self._inbox.put(None)

    @property
    def is_here(self) -> bool:
        """Whether this is one of the threads."""
        return getattr(self._here, "serves", False)

    def _start_thread(self) -> None:
        threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        self._threads += 1

    def _serve(self) -> None:
        self._here.serves = True
        while True:
            with self._leading:
                found = self._next()
            if found is None:
                return
            try:
                found.run()
            except Exception:
                # Work catches what it can foresee; whatever this was, the others still need this thread.
                _log.exception("background work failed unexpectedly")
                found.due_s = time.monotonic() + 1.0
            except BaseException:
                # It ends this thread; the next round that is added starts another.
                with self._lock:
                    self._busy -= 1
                    self._threads -= 1
                raise
            with self._lock:
                self._busy -= 1
            self._inbox.put(found)
            del found  # its owner may be gone before another round is due

    def _next(self) -> Round | None:
        """Lead until there is something to do: the round, or None when this thread is to end."""
        while True:
            now_s = time.monotonic()
            wait_s = self._waiting[0][0] - now_s if self._waiting else None
            if wait_s is None or wait_s > 0 or not self._inbox.empty():
                with contextlib.suppress(Empty):
                    come = self._inbox.get(timeout=None if wait_s is None else max(0.0, wait_s))
                    if come is None:
                        return None
                    self._wait(come)
                continue
            first = heappop(self._waiting)[2]
            if first.is_over:
                continue
            try:
                is_due = first.look(now_s)
            except Exception:
                is_due = True  # its work will meet the same, and knows what to do about it
            if is_due:
                self._let_another_lead()
                return first
            self._wait(first)

    def _wait(self, one: Round) -> None:
        if not one.is_over:
            heappush(self._waiting, (one.due_s, id(one), one))

    def _let_another_lead(self) -> None:
        with self._lock:
            self._busy += 1
            if self._busy >= self._threads < self._threads_max and self._rounds > 1:
                # If there is no thread to be had, the others wait until this one is done.
                with contextlib.suppress(RuntimeError):
                    self._start_thread()


_all: Final[weakref.WeakSet[Rounds]] = weakref.WeakSet()


def _begin_in_child() -> None:
    for rounds in list(_all):
        rounds._begin()


os.register_at_fork(after_in_child=_begin_in_child)
