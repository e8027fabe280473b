"""What requests and answers of a server hold in memory, and which requests may begin.

Requests are charged from when they have come in until their call ends, answers until they have left. Most are small
and many, so they are counted on the event loop and charged in steps. Whether memory is short is looked at several
times a second, and for each request that is large by itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pykyro.memory.account import FleetingCharge, Tally
from pykyro.memory.budget import CACHES_SHRINK_FROM, Kind, MemoryBudget, mebibytes
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import ANSWER_BYTES_MAX, ANSWER_SHARE_MAX

LARGE_BYTES: Final = 64 << 10
"""A request of so much asks whether there is room for it; an answer of so much is charged before it is made."""
HELD_TWICE: Final = 2
"""A message is there once for Python and once for the library that sends and receives it."""
_NEAR_S: Final = 0.05
_FAR_S: Final = 0.25
_NEAR_FROM: Final = 0.6
"""Of the budget; from there on it is looked often."""


class Admission:
    """Used on the event loop; `room_for_answer` is for any thread."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.requests = Tally(budget.account("requests"))
        self.answers = Tally(budget.account("answers"))
        self.streams = Tally(budget.account("streams"))
        self.short = False
        """Whether some kind of request may not begin now."""

    async def run(self) -> None:
        """Look whether memory is short, again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_NEAR_S if self._budget.pressure > _NEAR_FROM else _FAR_S)

    async def look(self) -> None:
        """Look whether memory is short."""
        for tally in (self.requests, self.answers, self.streams):
            tally.settle()
        if self._budget.pressure > CACHES_SHRINK_FROM:
            # In a thread: caches may be asked to shrink, which takes its time.
            self.short = not await asyncio.to_thread(self._budget.has_room, Kind.WRITE)
        else:
            self.short = False

    def check(self, kind: Kind | None, size: int) -> None:
        """Raises ResourceExhausted when a request of this kind and size may not begin."""
        if kind is not None:
            if kind is Kind.READ and size >= LARGE_BYTES:
                kind = Kind.LARGE_READ
            self._budget.admit(kind, HELD_TWICE * size)

    @property
    def answer_bytes_max(self) -> int:
        """The largest answer."""
        return min(ANSWER_BYTES_MAX, int(ANSWER_SHARE_MAX * self._budget.limit_bytes))

    def room_for_answer(self, size: int, count: int) -> object:
        """Whatever is kept until an answer of so many bytes, with so many documents, has been handed on.

        Raises ResourceExhausted when it is larger than an answer may be, or there is no room for it now.
        """
        most = self.answer_bytes_max
        if size > most:
            raise ResourceExhausted(
                f"the answer would have {mebibytes(size)}, {count} documents of {mebibytes(size // max(1, count))} "
                f"on average; an answer has at most {mebibytes(most)}: ask for fewer documents at once, or without "
                f"metadata or embeddings"
            )
        if size < LARGE_BYTES:
            return None
        account = self._budget.account("answers")
        self._budget.take(account, HELD_TWICE * size, Kind.LARGE_READ)
        return FleetingCharge(account, HELD_TWICE * size)
