"""One budget in bytes for the memory of a process, and who gives way when it runs short.

What grows with what clients send is charged to an account where it is held (pykyro.memory.account). What nobody
charges (buffers of libraries, tables of headers, the allocator's own) is seen all the same: the resident memory is
measured, and the larger of the two figures counts. When memory runs short, in this order:

    above 80 % of the limit   caches shrink
    above 85 %                work that can wait is not begun
    above 90 %                new writes are refused, and reads with large requests or answers
    above 100 %               work that gives memory back (sealing) waits as well
    above 105 %               all new reads are refused

What is under way finishes in what is left. A small read needs next to nothing, so it is served also where large
answers that nobody fetches have taken what there was. A refusal is ResourceExhausted, says what memory is used for,
and when to try again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from typing import Final, TypeAlias

from pykyro.memory.account import Account, Charge, Total
from pykyro.model.errors import ResourceExhausted
from pykyro.system.memory import anonymous_bytes, give_memory_back

CACHES_SHRINK_FROM: Final = 0.80
NEAR_S: Final = 0.05
"""Between two measurements while memory is short, and between two requests to the caches."""
FAR_S: Final = 0.25
"""Between two measurements while it is not."""
TRIM_S: Final = 1.0
"""Between two requests to the allocator to give memory back."""
TRIM_WORTH_SHARE: Final = 0.05
"""Of the limit; what the process has beyond its charges must be more, or there is nothing to give back."""

ROOM_BYTES_MIN: Final = 32 << 20
"""What a database needs beside the program."""

Shrink: TypeAlias = Callable[[int], int]
"""Asked to let go of so many bytes, says how many it let go."""


class Kind(Enum):
    """What asks whether it may begin: a word for it, and the share of the limit up to which it may."""

    CAN_WAIT = "work that can wait", 0.85
    WRITE = "a write", 0.90
    LARGE_READ = "a large read", 0.90
    RELIEF = "work that gives memory back", 1.00
    READ = "a read", 1.05

    def __init__(self, word: str, share: float) -> None:
        self.word = word
        self.share = share


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """The budget at one moment, in bytes."""

    limit: int
    used: int
    parts: dict[str, int]
    """By account, with "program" (what the process had at first) and "not accounted for"; largest first."""
    refused: dict[Kind, int]
    """How often each kind was refused since the start."""
    short_since_s: dict[Kind, float]
    """For each kind that is refused now, for how many seconds it has been."""

    @property
    def share(self) -> float:
        """Used memory as a share of the limit."""
        return self.used / self.limit

    def warning(self) -> str:
        """What health says: which kinds are refused, since when and why; "" while none is."""
        if not self.short_since_s:
            return ""
        kinds = ", ".join(f"{kind.word} for {since:.0f} s" for kind, since in self.short_since_s.items())
        return (
            f"memory is short, refused is {kinds}: {mebibytes(self.used)} of memory.limit = "
            f"{mebibytes(self.limit)} are used ({self.main_parts()})"
        )

    def main_parts(self) -> str:
        """What most of it is used for, in words."""
        return ", ".join(f"{name} {mebibytes(size)}" for name, size in list(self.parts.items())[:4] if size)


class MemoryBudget:
    """Any thread may call any method, but none that holds a lock of a cache: caches are asked to shrink."""

    def __init__(
        self,
        limit_bytes: int,
        measure: Callable[[], int] | None = anonymous_bytes,
        trim: Callable[[], None] = give_memory_back,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`measure` gives the resident bytes of the process. None where the process has other things to do than
        serve the database, whose memory is not ours to judge: then what is charged counts alone."""
        self._total = Total()
        self._accounts: dict[str, Account] = {}
        self._elsewhere: list[Account] = []
        self._caches: dict[str, list[Shrink]] = {}
        self._measure = measure
        self._trim = trim
        self._now_s = now_s
        self._baseline = measure() if measure else 0
        self._measured, self._charged_then = self._baseline, 0
        self._measure_at = self._ask_caches_at = self._trim_at = now_s()
        self._relieving = Lock()
        self._admitting = Lock()
        self._short_since: dict[Kind, float] = {}
        self._refused = dict.fromkeys(Kind, 0)
        self.limit_bytes = limit_bytes

    @property
    def limit_bytes(self) -> int:
        """The limit; may be set at any time."""
        return self._limit

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        self._limit = limit
        self._calm_below = int(CACHES_SHRINK_FROM * limit)

    @property
    def room_bytes(self) -> int:
        """What may be held beside what the process had at first."""
        return max(0, self._limit - self._baseline)

    @property
    def baseline_bytes(self) -> int:
        """What the process had at first, before it held anything for clients; 0 when that does not count."""
        return self._baseline

    def account(self, name: str, *, elsewhere: bool = False) -> Account:
        """The account of this name, made when it is first asked for.

        `elsewhere` says that the memory is that of other processes, which measuring this one does not see.
        """
        found = self._accounts.get(name)
        if found is None:
            found = self._accounts.setdefault(name, Account(name, self._total))
            if elsewhere:
                self._elsewhere.append(found)
        return found

    def register_cache(self, name: str, shrink: Shrink) -> None:
        """Ask `shrink` for bytes when memory runs short; all of the name that was registered first are asked first.

        It charges and gives back its own account, and is called by any thread, several times a second.
        """
        self._caches.setdefault(name, []).append(shrink)

    def forget_cache(self, name: str, shrink: Shrink) -> None:
        """Ask it no more."""
        self._caches[name] = [one for one in self._caches.get(name, []) if one != shrink]

    @property
    def used_bytes(self) -> int:
        """What is used now, as far as is known: measured at most FAR_S ago and charged since."""
        now_s = self._now_s()
        if now_s >= self._measure_at:
            self._sample(now_s)
        charged = self._total.used
        return max(self._baseline + charged, self._measured + charged - self._charged_then)

    @property
    def pressure(self) -> float:
        """Used memory as a share of the limit."""
        return self.used_bytes / self._limit

    def has_room(self, kind: Kind, count: int = 0) -> bool:
        """Whether something of this kind that takes `count` bytes may begin; caches shrink to make room for it.

        0.3 us while memory is not short.
        """
        now_s, charged = self._now_s(), self._total.used
        if now_s >= self._measure_at:
            self._sample(now_s)
        used = max(self._baseline + charged, self._measured + charged - self._charged_then) + count
        if used > self._calm_below:
            used = self._relieved(count)
        if used <= kind.share * self._limit:
            if self._short_since:
                self._short_since.pop(kind, None)
            return True
        self._short_since.setdefault(kind, self._now_s())
        return False

    def admit(self, kind: Kind, count: int = 0) -> None:
        """Raises ResourceExhausted unless something of this kind that takes `count` bytes may begin."""
        if not self.has_room(kind, count):
            raise self._refusal(kind, count)

    def reserved(self, name: str, count: int, kind: Kind) -> Charge:
        """`count` bytes charged to an account until they are given back, `with` does that.

        Raises ResourceExhausted when something of this kind may not begin.
        """
        account = self.account(name)
        self.take(account, count, kind)
        return Charge(account, count)

    def take(self, account: Account, count: int, kind: Kind) -> None:
        """Charge `count` bytes for something of this kind that begins; the caller takes them from the account again.

        Room is asked for and charged by one after the other: so of a crowd as many get in as there is room for, no
        more and no fewer. Raises ResourceExhausted.
        """
        with self._admitting:
            self.admit(kind, count)
            account.add(count)

    def status(self) -> MemoryStatus:
        """Everything about it, for health, metrics and messages."""
        used, now_s = self.used_bytes, self._now_s()
        parts = {name: account.used for name, account in list(self._accounts.items())}
        if self._measure:
            parts["program"] = self._baseline
            parts["not accounted for"] = max(0, used - sum(parts.values()))
        for kind in [kind for kind in self._short_since if used <= kind.share * self._limit]:
            self._short_since.pop(kind, None)
        return MemoryStatus(
            limit=self._limit,
            used=used,
            parts=dict(sorted(parts.items(), key=lambda part: -part[1])),
            refused=dict(self._refused),
            short_since_s={kind: now_s - since for kind, since in list(self._short_since.items())},
        )

    def _sample(self, now_s: float) -> None:
        near = self._measured + self._total.used - self._charged_then > self._calm_below
        self._measure_at = now_s + (NEAR_S if near else FAR_S)
        if self._measure:
            # In this order: bytes charged between the two lines are counted twice rather than never.
            self._charged_then = self._total.used
            self._measured = self._measure() + sum(account.used for account in self._elsewhere)

    def _relieved(self, count: int) -> int:
        """What is used, `count` bytes included, after caches and allocator were asked for what they can spare."""
        now_s = self._now_s()
        if self._measure_at > now_s + NEAR_S:
            self._sample(now_s)
        if self._relieving.acquire(blocking=False):  # one is enough; the others take what they find
            try:
                self._relieve(count, now_s)
            finally:
                self._relieving.release()
        return self.used_bytes + count

    def _relieve(self, count: int, now_s: float) -> None:
        excess = self.used_bytes + count - self._calm_below
        gone = 0
        if excess > 0 and now_s >= self._ask_caches_at:
            for shrink in [each for of_name in list(self._caches.values()) for each in of_name]:
                gone += shrink(excess - gone)
                if gone >= excess:
                    break
            if gone < excess:
                self._ask_caches_at = now_s + NEAR_S
        slack = self._measured - self._baseline - self._total.used
        if self._measure and now_s >= self._trim_at and slack + gone > TRIM_WORTH_SHARE * self._limit:
            self._trim_at = now_s + TRIM_S
            self._trim()
            self._sample(now_s)

    def _refusal(self, kind: Kind, count: int) -> ResourceExhausted:
        self._refused[kind] += 1
        status, room = self.status(), int(kind.share * self._limit)
        facts = (
            f"memory is short: {mebibytes(status.used)} of memory.limit = {mebibytes(self._limit)} are used "
            f"({status.main_parts()}), and {kind.word} that needs {mebibytes(count)} may begin up to "
            f"{mebibytes(room)}"
        )
        if self._baseline + count > room:
            return ResourceExhausted(f"{facts}; ask for less at once, or raise memory.limit")
        way_out = "try again later, ask for less at once, or raise memory.limit"
        return ResourceExhausted(f"{facts}; {way_out}", retry_after_s=TRIM_S)


def too_small(budget: MemoryBudget, name: str) -> str:
    """Why this budget, whose setting is called `name`, does not do for a database; "" when it does."""
    if budget.room_bytes >= ROOM_BYTES_MIN:
        return ""
    return (
        f"{name} = {mebibytes(budget.limit_bytes)} is too little: the program alone takes "
        f"{mebibytes(budget.baseline_bytes)}, and a database needs {mebibytes(ROOM_BYTES_MIN)} beside it; set at "
        f"least {mebibytes(budget.baseline_bytes + ROOM_BYTES_MIN)}"
    )


def mebibytes(count: int) -> str:
    """A number of bytes as it stands in a message."""
    return f"{count / 2**20:.1f} MiB" if count < 10 << 20 else f"{count / 2**20:.0f} MiB"
