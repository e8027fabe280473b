"""When the steps of a search were done, for traces."""

from __future__ import annotations

import time

from pykyro.model.requests import SearchResult, Stage


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


class SearchTimes:
    """When a batch was taken, was decoded, was searched for: microseconds since the Unix epoch."""

    __slots__ = ("decoded_us", "searched_us", "taken_us")

    def __init__(self) -> None:
        self.taken_us = self.decoded_us = self.searched_us = now_us()

    def stages(self, started_ns: int, result: SearchResult) -> list[Stage]:
        """Those of one of the batch, asked at `started_ns` of time.perf_counter_ns and encoded just now; what is
        within a stage comes behind it."""
        ended_us = now_us()
        asked_us = ended_us - (time.perf_counter_ns() - started_ns) // 1000
        return [
            Stage("queue", asked_us, self.taken_us),
            Stage("decode", self.taken_us, self.decoded_us),
            Stage("search", self.decoded_us, self.searched_us),
            *result.stages,
            Stage("encode", self.searched_us, ended_us),
        ]
