"""The least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict


class Lru:
    """See policy.Policy."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._order: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, key: int) -> bool:
        return key in self._order

    def touch(self, key: int) -> bool:
        if key not in self._order:
            return False
        self._order.move_to_end(key)
        return True

    def offer(self, key: int) -> list[int] | None:
        self._order[key] = None
        return [self.pop()] if len(self._order) > self.capacity else []

    def forget(self, key: int) -> None:
        self._order.pop(key, None)

    def held(self) -> list[int]:
        return list(self._order)

    def pop(self) -> int:
        """Let go of the least recently used."""
        return self._order.popitem(last=False)[0]

    def oldest(self) -> int:
        """The least recently used."""
        return next(iter(self._order))
