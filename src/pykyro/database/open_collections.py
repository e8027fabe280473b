"""Which collections are open: opened on first use, pinned while in use, closed when idle.

A pinned collection stays open. The others are closed least recently used first: when nobody used one for `idle_s`,
when more than `open_max` are open, and all of them when memory runs short. What a closing collection has not sealed
is sealed first, so that opening it again reads no log. A closed one costs its line in the catalogue and nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pykyro.engine.engine import Engine
from pykyro.engine.open_engines import refusal_of_inherited
from pykyro.model.errors import FailedPrecondition, KyroError, NotFound, Unavailable
from pykyro.system.rounds import Round, Rounds

_log: Final = logging.getLogger(__name__)

SWEEPS: Final = Rounds("kyrodb-collections", 1)
"""Closing of idle collections, of all databases of this process."""
_SWEEP_S: Final = 0.25
_DROP_WAIT_S: Final = 10.0
"""How long those who use a collection that is dropped have to finish."""


class OpenCollection:
    """A collection that somebody uses or that is open. `engine` stays open while `pins` is above 0."""

    __slots__ = ("attached", "changing", "dropped", "engine", "number", "pins", "used_s")

    def __init__(self, number: int) -> None:
        self.number = number
        self.engine: Engine | None = None
        self.attached: object = None
        """What the floor above keeps for this engine."""
        self.pins = 0
        self.used_s = 0.0
        self.dropped = False
        self.changing = threading.RLock()
        """Held while it is opened or closed."""


class OpenCollections:
    """Any thread may call any method."""

    def __init__(
        self,
        directory: Path,
        opened: Callable[[int], Engine],
        *,
        open_max: int,
        idle_s: float,
        is_short: Callable[[], bool],
    ) -> None:
        """Those of the database in `directory`. `opened` opens the collection of a number; `is_short` says whether
        memory runs short."""
        self._directory = directory
        self._process = os.getpid()
        self._opened = opened
        self.open_max = open_max
        self.idle_s = idle_s
        self._is_short = is_short
        # Of the kind that its owner may take again: a finalizer may unpin in the middle of anything.
        self._lock = threading.RLock()
        self._slots: dict[int, OpenCollection] = {}
        self.on_close: Callable[[int, Engine], None] = lambda number, engine: None
        """Told of every engine before it is closed for being idle."""
        self._closed = False
        self._sweeping: Round | None = None
        self.troubles: dict[int, str] = {}
        """Why a collection could not be opened or closed when that was last tried."""
        self.opened_total = 0
        self._expired_in_closed = 0

    # --- for those who use them -------------------------------------------------------------------

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child of the process that opened the database."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Raises FailedPrecondition in a forked child: a thread that it does not have may hold the locks here."""
        if self.is_inherited:
            raise FailedPrecondition(refusal_of_inherited(self._directory, self._process))

    def pin_open(self, number: int) -> OpenCollection | None:
        """The collection, if it is open: then it stays open until `unpin`. Never waits."""
        self.check_process()
        with self._lock:
            slot = self._slots.get(number)
            if slot is None or slot.engine is None or slot.dropped:
                return None
            slot.pins += 1
            return slot

    def pin(self, number: int) -> OpenCollection:
        """The collection, opened if it is not; it stays open until `unpin`. Concurrent first uses open it once.

        Raises Unavailable, NotFound, and what opening it raises.
        """
        self.check_process()
        with self._lock:
            if self._closed:
                raise Unavailable("the database is closed")
            slot = self._slots.get(number)
            if slot is None:
                slot = self._slots[number] = OpenCollection(number)
            slot.pins += 1
        try:
            with slot.changing:
                if slot.dropped:
                    raise NotFound("the collection was dropped")
                if slot.engine is None:
                    slot.engine = self._open(number)
        except BaseException:
            self.unpin(slot)
            raise
        return slot

    def unpin(self, slot: OpenCollection) -> None:
        """It is not used any more, by one of those who did."""
        with self._lock:
            slot.pins -= 1
            slot.used_s = time.monotonic()
            if slot.engine is None and not slot.pins and self._slots.get(slot.number) is slot:
                del self._slots[slot.number]

    def engines(self) -> dict[int, Engine]:
        """Those that are open at this moment, by number."""
        with self._lock:
            return {number: slot.engine for number, slot in self._slots.items() if slot.engine is not None}

    @property
    def expired(self) -> int:
        """Documents that went at their instant, in all engines that were opened."""
        with self._lock:
            return self._expired_in_closed + sum(engine.expired for engine in self.engines().values())

    def _open(self, number: int) -> Engine:
        try:
            engine = self._opened(number)
        except KyroError as error:
            self.troubles[number] = str(error)
            raise
        self.troubles.pop(number, None)
        with self._lock:
            self.opened_total += 1
            if self._sweeping is None and not self._closed:
                self._sweeping = SWEEPS.add(self._should_sweep, self._sweep)
        return engine

    # --- closing ----------------------------------------------------------------------------------

    def _should_sweep(self) -> bool:
        now_s, short = time.monotonic(), self._is_short()
        with self._lock:
            idle = [slot for slot in self._slots.values() if slot.engine is not None and not slot.pins]
        if len(self._slots) > self.open_max and idle:
            return True
        return any(now_s - slot.used_s >= (0.0 if short else self.idle_s) for slot in idle)

    def _sweep(self) -> float:
        """Close what is idle; seconds until the next look."""
        now_s, idle_s = time.monotonic(), 0.0 if self._is_short() else self.idle_s
        with self._lock:
            idle = [slot for slot in self._slots.values() if slot.engine is not None and not slot.pins]
            excess = len(self._slots) - self.open_max
        idle.sort(key=lambda slot: slot.used_s)
        for at, slot in enumerate(idle):
            if at < excess or now_s - slot.used_s >= idle_s:
                self.close_idle(slot)
        return _SWEEP_S

    def close_idle(self, slot: OpenCollection) -> None:
        """Seal and close it, unless somebody uses it; what goes wrong is logged."""
        with slot.changing:
            with self._lock:
                engine = slot.engine
                if slot.pins or engine is None or slot.dropped:
                    return
            # Who comes now waits for `changing`, and opens it again.
            try:
                if engine.following is None and engine.stats().position > engine.stats().sealed_position:
                    engine.flush()
            except KyroError as error:
                # Its log has everything; the next opening reads that.
                _log.warning("sealing collection %s before closing it: %s", engine.directory, error)
            self.on_close(slot.number, engine)
            self._close(slot, engine)
            with self._lock:
                self._expired_in_closed += engine.expired
                slot.engine = slot.attached = None
                if not slot.pins and self._slots.get(slot.number) is slot:
                    del self._slots[slot.number]

    def drop(self, number: int) -> None:
        """Close it, and let nobody open it again; those who use it have a moment to finish."""
        with self._lock:
            slot = self._slots.setdefault(number, OpenCollection(number))
            slot.dropped = True
        until_s = time.monotonic() + _DROP_WAIT_S
        while slot.pins and time.monotonic() < until_s:
            time.sleep(0.005)
        with slot.changing:
            engine, slot.engine = slot.engine, None
            if engine is not None:
                self._expired_in_closed += engine.expired
                self._close(slot, engine)
        with self._lock:
            self._slots.pop(number, None)
        self.troubles.pop(number, None)

    def close(self) -> None:
        """Close all, for good. Raises the first error that kept accepted writes from the disk."""
        failure: KyroError | None = None
        for engine in self.let_go():
            try:
                engine.close()
            except KyroError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def let_go(self) -> list[Engine]:
        """Open none any more; those that are open, which the caller closes. A forked child gets none."""
        if self.is_inherited:
            return []
        with self._lock:
            self._closed = True
            sweeping, self._sweeping = self._sweeping, None
            slots = list(self._slots.values())
        if sweeping is not None:
            SWEEPS.end(sweeping)
        engines = []
        for slot in slots:
            with slot.changing:
                engine, slot.engine = slot.engine, None
            if engine is not None:
                engines.append(engine)
        return engines

    def _close(self, slot: OpenCollection, engine: Engine) -> None:
        try:
            engine.close()
        except KyroError as error:
            self.troubles[slot.number] = str(error)
            _log.error("closing collection %s: %s", engine.directory, error)


def troubles_of(collections: OpenCollections, names: Mapping[int, str]) -> dict[str, str]:
    """Names of the collections that are in trouble, and what it is."""
    found = {names[number]: text for number, text in list(collections.troubles.items()) if number in names}
    for number, engine in collections.engines().items():
        stats = engine.stats()
        text = stats.refusing_writes or stats.cold_tier_warning or stats.maintenance_failure
        text = text or stats.room_warning
        if text and number in names:
            found.setdefault(names[number], text)
    return found
