"""Half of the ids to each of two policies, to compare them on real traffic."""

from __future__ import annotations

from collections.abc import Mapping

from kyrodb.cache.policies.policy import Policy


class Split:
    """See policy.Policy. `parts` are two policies by name; even ids go to the first."""

    def __init__(self, parts: Mapping[str, Policy]) -> None:
        self.parts = dict(parts)
        self._both = list(parts.values())
        self.capacity = sum(part.capacity for part in self._both)
        self.lookups = [0, 0]
        self.hits = [0, 0]

    def __len__(self) -> int:
        return sum(map(len, self._both))

    def __contains__(self, key: int) -> bool:
        return key in self._both[key & 1]

    def touch(self, key: int) -> bool:
        hit = self._both[key & 1].touch(key)
        self.lookups[key & 1] += 1
        self.hits[key & 1] += hit
        return hit

    def offer(self, key: int) -> list[int] | None:
        return self._both[key & 1].offer(key)

    def forget(self, key: int) -> None:
        self._both[key & 1].forget(key)

    def held(self) -> list[int]:
        return [key for part in self._both for key in part.held()]

    def ratios(self) -> dict[str, float]:
        """Share of hits of each part, by name."""
        return {
            name: self.hits[at] / self.lookups[at] if self.lookups[at] else 0.0
            for at, name in enumerate(self.parts)
        }
