"""SIEVE: a queue in order of arrival, and a hand that passes over what was used since it came by.

Source: Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for Web Caches",
NSDI 2024, algorithm 1.
"""

from __future__ import annotations


class _Node:
    __slots__ = ("key", "newer", "older", "used")

    def __init__(self, key: int) -> None:
        self.key = key
        self.used = False
        self.newer: _Node | None = None
        self.older: _Node | None = None


class Sieve:
    """See policy.Policy."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._nodes: dict[int, _Node] = {}
        self._newest: _Node | None = None
        self._oldest: _Node | None = None
        self._hand: _Node | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, key: int) -> bool:
        return key in self._nodes

    def touch(self, key: int) -> bool:
        node = self._nodes.get(key)
        if node is None:
            return False
        node.used = True
        return True

    def offer(self, key: int) -> list[int] | None:
        gone = [self._evict()] if len(self._nodes) >= self.capacity else []
        node = self._nodes[key] = _Node(key)
        node.older = self._newest
        if self._newest is not None:
            self._newest.newer = node
        self._newest = node
        if self._oldest is None:
            self._oldest = node
        return gone

    def forget(self, key: int) -> None:
        node = self._nodes.get(key)
        if node is not None:
            self._remove(node)

    def held(self) -> list[int]:
        keys, node = [], self._oldest
        while node is not None:
            keys.append(node.key)
            node = node.newer
        return keys

    def _evict(self) -> int:
        node = self._hand or self._oldest
        while node is not None and node.used:
            node.used = False
            node = node.newer or self._oldest
        assert node is not None
        self._hand = node
        self._remove(node)
        return node.key

    def _remove(self, node: _Node) -> None:
        if self._hand is node:
            self._hand = node.newer
        if node.older is not None:
            node.older.newer = node.newer
        else:
            self._oldest = node.newer
        if node.newer is not None:
            node.newer.older = node.older
        else:
            self._newest = node.older
        del self._nodes[node.key]
