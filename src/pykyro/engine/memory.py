"""The memory of one open engine: what it may hold, and who is told of it.

The budget belongs to the whole process, and its hot tier to all engines together: when that is full, those with more
than the average are sealed. From it follow the bounds that are looked at on the way of each write; they
stand ready as plain numbers, which `refresh` brings up to date.
"""

from __future__ import annotations

from typing import Final

from pykyro.engine.options import EngineOptions
from pykyro.memory.budget import Kind, MemoryBudget
from pykyro.model.limits import GROUP_FRAMES_BYTES_MAX

UNBOUNDED_BYTES: Final = 1 << 62
"""The budget of an engine that was given none."""
_HOT_SHARE: Final = 0.4
"""Of the memory beyond the program's own, for the hot tier and what is being sealed of it."""
_SECTIONS_SHARE, _SECTIONS_MAX = 1 / 6, 64 << 20
"""For laying out the metadata index of a segment."""
_GROUP_SHARE: Final = 1 / 32
"""For the frames that are written to the log at once: they are there several times while they are written."""
_STEP_SHARE, _STEP_MIN, _STEP_MAX = 1 / 128, 64 << 10, 4 << 20
"""After so many bytes of the hot tier the budget is asked again."""
_WORTH_SEALING: Final = 1 / 32
"""When memory is short, a hot tier of this share of its bound is sealed."""
_BUILD_PROCESS_BYTES: Final = 80 << 20
_BUILD_ROW_BYTES: Final = 64


class EngineMemory:
    """Bounds in bytes. Any thread may call any method."""

    def __init__(self, budget: MemoryBudget | None, options: EngineOptions) -> None:
        """Without a budget only the options bound what is held."""
        self.budget = budget or MemoryBudget(UNBOUNDED_BYTES, measure=None)
        self._options = options
        self._hot_tier_max = options.hot_bytes_max
        self.hot_tier = self.budget.account("hot tier")
        self.filter_cache = self.budget.account("filter cache")
        self.query_cache = self.budget.account("query cache")
        self.document_cache = self.budget.account("document cache")
        self.graphs = self.budget.account("graphs")
        self.request_keys = self.budget.account("idempotency keys")
        self.builds = self.budget.account("builds", elsewhere=True)
        self.hot_bytes_max = 0
        """Writers wait while the hot tiers hold more."""
        self.group_bytes_max = 0
        """What goes to the log at once."""
        self.sections_bytes = 0
        """See segment_builder.rows_of_tier."""
        self.ask_from = 0
        """The budget is asked whether there is room when the hot tiers hold more than this."""
        self.is_short = False
        """Whether no write may begin."""
        self.hot_tier.holders += 1
        self.refresh(0)

    def close(self) -> None:
        """One engine fewer shares the hot tier."""
        self.hot_tier.holders -= 1

    def bound_hot_tier(self, count: int) -> None:
        """The hot tier is to hold no more than so many bytes, whatever the options say."""
        self._hot_tier_max = min(self._hot_tier_max, count)
        self.refresh(0)

    def unbound_hot_tier(self) -> None:
        """What the options say counts again."""
        self._hot_tier_max = self._options.hot_bytes_max
        self.refresh(0)

    def refresh(self, hot_bytes: int) -> None:
        """Bring the bounds up to date, while the hot tiers hold so many bytes."""
        room = self.budget.room_bytes
        self.hot_bytes_max = min(self._hot_tier_max, int(_HOT_SHARE * room))
        self.group_bytes_max = max(1, min(GROUP_FRAMES_BYTES_MAX, int(_GROUP_SHARE * room)))
        self.sections_bytes = min(_SECTIONS_MAX, int(_SECTIONS_SHARE * room))
        step = max(_STEP_MIN, min(_STEP_MAX, int(_STEP_SHARE * room)))
        self.is_short = not self.budget.has_room(Kind.WRITE, step)
        self.ask_from = -1 if self.is_short else min(self.hot_bytes_max, hot_bytes + step)

    def should_seal(self, hot_bytes: int) -> bool:
        """Whether a hot tier of so many bytes is to be sealed to make room."""
        if hot_bytes >= self.hot_bytes_max // 2:
            return True
        charged, holders = self.hot_tier.used, self.hot_tier.holders
        if holders > 1 and (self.is_short or charged >= self.hot_bytes_max // 2):
            return hot_bytes > 0 and hot_bytes * holders >= charged
        return self.is_short and hot_bytes >= _WORTH_SEALING * self.hot_bytes_max

    def build_bytes(self, rows: int) -> int:
        """About what building the graph of so many rows takes, in a process of its own: the graph, once more in the
        form it is written in, and some columns."""
        return _BUILD_PROCESS_BYTES + rows * (2 * self.graph_row_bytes + _BUILD_ROW_BYTES)

    @property
    def graph_row_bytes(self) -> int:
        """What a row takes in a graph: a code of a byte a component, and its neighbours."""
        return self._options.dimension + 8 * self._options.m + 24

    def holds_graph(self, size: int) -> bool:
        """Whether there is room for a graph of so many bytes in memory; else it stays a mapped file, whose pages the
        system can drop."""
        return not self._options.mapped_graphs and self.budget.has_room(Kind.CAN_WAIT, size)
