"""Asking the tiers, oldest first, each kind of them within its time.

A search of one tier runs to its end, because neither the vector library nor numpy can be interrupted. So the clock
is looked at between two of them: a cold segment is not begun once those before it took longer than `cold_tier_ms`,
a hot tier (one that is being sealed, or the active one) not once those before it took longer than `hot_tier_ms`.
The first of each kind is always searched. Questions searched together have their time together, and an exact
search has no limit: it was asked for whatever it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from pykyro.engine.options import TierBudgets
from pykyro.engine.state import Version
from pykyro.engine.tiers.tier import Candidates, SearchTier, TierQuery
from pykyro.model.requests import SearchResult, Stage, Tier
from pykyro.system.clock import Clock

ByTier: TypeAlias = list[tuple[SearchTier, list[Candidates]]]
_Ask: TypeAlias = Callable[[SearchTier], list[Candidates]]


class LeftOut(NamedTuple):
    """The kinds of tier that were not searched to their end, and why, in a sentence without numbers of rows; and when
    each tier was searched, if that was to be measured."""

    tiers: frozenset[Tier] = frozenset()
    reason: str = ""
    stages: Sequence[Stage] = ()

    def mark(self, result: SearchResult) -> None:
        """Say in an answer that it is partial, if it is."""
        if self.tiers:
            result.left_out = self.tiers
            result.note = self.reason
            result.exact = False
        if self.stages:
            result.stages = self.stages


_NOTHING: Final = LeftOut()


class TierSearch:
    """Searches the tiers of a version."""

    def __init__(self, budgets: TierBudgets, clock: Clock) -> None:
        self._budgets = budgets
        self._unlimited = math.isinf(budgets.hot_tier_ms) and math.isinf(budgets.cold_tier_ms)
        self._clock = clock

    def search(self, version: Version, query: TierQuery) -> tuple[ByTier, LeftOut]:
        """What each tier finds."""
        if self._budgets.timed:
            stages: list[Stage] = []
            by_tier, left_out = self._search(version, query, lambda tier: self._timed(tier, query, stages))
            return by_tier, left_out._replace(stages=stages)
        return self._search(version, query, lambda tier: tier.search_many(query))

    def _search(self, version: Version, query: TierQuery, ask: _Ask) -> tuple[ByTier, LeftOut]:
        if self._unlimited or query.exact:
            return [(tier, ask(tier)) for tier in version.oldest_first], _NOTHING
        together = len(query.questions)
        hot: tuple[SearchTier, ...] = (*version.frozen, version.active)
        found, cold_note = self._within(version.cold, ask, Tier.COLD, self._budgets.cold_tier_ms, together)
        more, hot_note = self._within(hot, ask, Tier.HOT, self._budgets.hot_tier_ms, together)
        notes = {tier: note for tier, note in ((Tier.COLD, cold_note), (Tier.HOT, hot_note)) if note}
        return found + more, LeftOut(frozenset(notes), "; ".join(notes.values())) if notes else _NOTHING

    def _within(
        self, tiers: Sequence[SearchTier], ask: _Ask, kind: Tier, budget_ms: float, together: int
    ) -> tuple[ByTier, str]:
        """What those found that were begun in time, and a note when one was not."""
        until_s = self._clock.monotonic_s() + budget_ms / 1000 * together
        found: ByTier = []
        for tier in tiers:
            if found and self._clock.monotonic_s() > until_s:
                return found, (
                    f"the {kind.value} tier was not searched to its end within {kind.value}_tier_ms = {budget_ms:g}"
                )
            found.append((tier, ask(tier)))
        return found, ""

    def _timed(self, tier: SearchTier, query: TierQuery, stages: list[Stage]) -> list[Candidates]:
        start_us = self._clock.wall_us()
        found = tier.search_many(query)
        stages.append(Stage(f"search {tier.kind.value} tier", start_us, self._clock.wall_us()))
        return found
