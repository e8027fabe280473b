"""A queue that serves whoever waits in it by turns, by the cost of what they ask for.

Everybody has a share, named by two words: a group (a tenant, or the address of somebody without a key) and a member
of it (a connection). Groups get equal parts of the service, and so do the members of one group. So who opens more
connections is served no more, and who asks for much waits for it mostly alone. This is start-time fair queueing
(Goyal, Vin, Cheng 1996): what is served next is what begins earliest on a clock that runs as fast as the cost of what
is served.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Generic, TypeAlias, TypeVar

Item = TypeVar("Item")

Share: TypeAlias = tuple[str, str]
NOBODYS: Final[Share] = ("", "")

_REMEMBERED_MAX: Final = 1024
"""Names whose last turn is remembered although nothing of theirs waits."""


@dataclass(slots=True)
class _Turns:
    """Whose turn it is among several names."""

    clock: float = 0.0
    order: list[tuple[float, int, str]] = field(default_factory=list)
    """When each begins, and its name."""
    ends: dict[str, float] = field(default_factory=dict)
    """When each has been served what it was given so far."""
    _numbers: count[int] = field(default_factory=count)

    def enter(self, name: str) -> None:
        """It has begun to wait."""
        begins = max(self.clock, self.ends.get(name, 0.0))
        heapq.heappush(self.order, (begins, next(self._numbers), name))

    def served(self, name: str, cost: float, *, waits: bool) -> None:
        """The first in order, which is `name`, was given something of this cost."""
        self.clock, _, _ = heapq.heappop(self.order)
        self.ends[name] = self.clock + cost
        if waits:
            self.enter(name)
        elif len(self.ends) > _REMEMBERED_MAX:
            self.ends = {name: end for name, end in self.ends.items() if end > self.clock}

    def leave_first(self) -> None:
        """The first in order waits no more."""
        heapq.heappop(self.order)


@dataclass(slots=True)
class _Group(Generic[Item]):
    turns: _Turns = field(default_factory=_Turns)
    lines: dict[str, deque[tuple[float, Item]]] = field(default_factory=dict)
    count: int = 0


class FairQueue(Generic[Item]):
    """Used by one thread."""

    def __init__(self) -> None:
        self.count = 0
        """Items that wait."""
        self._turns = _Turns()
        self._groups: dict[str, _Group[Item]] = {}

    def put(self, share: Share, cost: float, item: Item) -> None:
        """Let an item wait. `cost` is what serving it takes, in any unit."""
        name, member = share
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
            self._turns.enter(name)
        line = group.lines.get(member)
        if line is None:
            line = group.lines[member] = deque()
            group.turns.enter(member)
        line.append((cost, item))
        group.count += 1
        self.count += 1

    def take(self) -> Item:
        """Whose turn it is. Raises IndexError when nobody waits."""
        while True:
            name = self._turns.order[0][2]
            group = self._groups[name]
            if group.count:
                break
            del self._groups[name]
            self._turns.leave_first()
        turns = group.turns
        while not (line := group.lines[member := turns.order[0][2]]):
            del group.lines[member]
            turns.leave_first()
        cost, item = line.popleft()
        group.count -= 1
        self.count -= 1
        turns.served(member, cost, waits=bool(line))
        if not line:
            del group.lines[member]
        # The group stays while its members are remembered, so that none gains by coming and going.
        self._turns.served(name, cost, waits=bool(group.count))
        if not group.count:
            del self._groups[name]
        return item

    def drop_for(self, share: Share) -> Item | None:
        """The newest item of whoever has most that waits, so that `share` finds room; None when nobody has more than
        `share` itself."""
        if not self.count:
            return None
        name, group = max(self._groups.items(), key=lambda one: one[1].count)
        line = max(group.lines.values(), key=len)
        own = self._groups.get(share[0])
        if name == share[0]:
            if len(line) <= len(group.lines.get(share[1], ())) + 1:
                return None
        elif group.count <= (own.count if own is not None else 0) + 1:
            return None
        _, item = line.pop()
        group.count -= 1
        self.count -= 1
        return item
