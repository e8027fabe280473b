"""What other policies would make of the same lookups: caches of ids without documents, over a sample of the ids.

A policy over one id in n with an n-th of the capacity has the hit ratio of the whole, nearly (spatial sampling:
Waldspurger et al., "Efficient MRC Construction with SHARDS", FAST 2015; with its correction for hot ids: lookups
that the sample has too few or too many of are taken for hits). So a lookup costs an n-th and the ids
of all ghosts together take about 270 bytes for each n-th of the capacity and policy: with five policies and a
capacity of 10,000, some 800 KB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kyrodb.cache.policies.policy import Policy, access

_SAMPLED_CAPACITY_MIN: Final = 200
"""Below so few entries a sample would say little, so then more ids are taken, in the end all."""
_ONE_IN_MAX: Final = 16
_MULTIPLIER: Final = 0x9E3779B97F4A7C15


class Ghosts:
    """Policies by name. Not thread-safe."""

    def __init__(self, capacity: int, policies: Mapping[str, Callable[[int], Policy]]) -> None:
        """Each policy is made for the capacity that belongs to the sample."""
        self.one_in = max(1, min(_ONE_IN_MAX, capacity // _SAMPLED_CAPACITY_MIN))
        self.policies = {name: make(max(1, capacity // self.one_in)) for name, make in policies.items()}
        self.asked = 0
        """Lookups."""
        self.lookups = 0
        """Those of the sample."""
        self.hits = dict.fromkeys(policies, 0)

    def access(self, doc_id: int) -> None:
        """A document that exists was looked up."""
        self.asked += 1
        if self.one_in > 1 and (doc_id * _MULTIPLIER & 0xFFFFFFFFFFFFFFFF) >> 32 & 0xFFFFFFFF >= (
            0x100000000 // self.one_in
        ):
            return
        self.lookups += 1
        for name, policy in self.policies.items():
            self.hits[name] += access(policy, doc_id)

    def forget(self, doc_id: int) -> None:
        """A document changed."""
        for policy in self.policies.values():
            policy.forget(doc_id)

    def ratios(self) -> dict[str, float]:
        """Share of hits since the start."""
        expected = self.asked / self.one_in
        if not expected:
            return dict.fromkeys(self.hits, 0.0)
        missing = expected - self.lookups
        return {name: max(0.0, min(1.0, (hits + missing) / expected)) for name, hits in self.hits.items()}
