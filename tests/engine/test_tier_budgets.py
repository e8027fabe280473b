"""Searches that find a part of the database too slow: what they answer, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.clock import FakeClock
from tests.engine.opening import DIMENSION, fill, ids, vectors

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions, RecallOptions, TierBudgets
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.filter import Exact
from pykyro.model.requests import CachedKind, SearchRequest, SearchResult, Tier
from pykyro.storage.files.filesystem import LocalFileSystem

Slow = Callable[[type, str, float], None]
ROWS = vectors(40)
COLD_NOTE = "the cold tier was not searched to its end within cold_tier_ms = 1000"
HOT_NOTE = "the hot tier was not searched to its end within hot_tier_ms = 50"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Slow:
    """Make every call of a method take so many seconds."""

    def make(owner: type, method: str, seconds: float) -> None:
        real = getattr(owner, method)

        def slowly(self: object, *arguments: Any) -> Any:
            clock.advance(seconds)
            return real(self, *arguments)

        monkeypatch.setattr(owner, method, slowly)

    return make


@pytest.fixture
def engine(tmp_path: Path, clock: FakeClock) -> Iterator[Engine]:
    """Documents 1 to 10, 11 to 20 and 21 to 30 in cold segments, 31 to 35 being sealed, 36 to 40 in the hot tier."""
    filesystem = LocalFileSystem()
    options = EngineOptions(
        dimension=DIMENSION,
        background=False,
        budgets=TierBudgets(cache_ms=10, hot_tier_ms=50, cold_tier_ms=1000),
        recall=RecallOptions(processor_share=0.5),
    )
    engine = open_engine(
        tmp_path / "data", options, filesystem=filesystem, clock=clock, builder=InlineBuilder(filesystem)
    )
    for first in (0, 10, 20):
        fill(engine, ROWS[first : first + 10], first_id=first + 1)
        engine.flush()
    fill(engine, ROWS[30:35], first_id=31)
    engine._context.state.freeze()
    fill(engine, ROWS[35:], first_id=36, metadata={"colour": "red"})
    yield engine
    engine.close()


def everything(engine: Engine, **request: Any) -> SearchResult:
    return engine.search(SearchRequest(ROWS[0], 40, **request))


def test_an_answer_in_time_is_whole(engine: Engine, slow: Slow) -> None:
    slow(ColdSegment, "search_many", 0.49)
    slow(HotTier, "search_many", 0.049)
    result = everything(engine)
    assert sorted(ids(result)) == list(range(1, 41))
    assert (result.complete, result.note, result.exact) == (True, "", True)


def test_segments_that_are_not_begun_in_time_are_left_out(engine: Engine, slow: Slow) -> None:
    slow(ColdSegment, "search_many", 0.6)
    result = everything(engine)
    # The third would have begun after 1.2 s; the hot tier has a time of its own.
    assert sorted(ids(result)) == [*range(1, 21), *range(31, 41)]
    assert (result.complete, result.note, result.exact) == (False, COLD_NOTE, False)
    assert result.left_out == {Tier.COLD}
    assert result.tiers == {Tier.COLD, Tier.HOT}


def test_the_first_of_each_kind_is_searched_however_long_it_takes(engine: Engine, slow: Slow) -> None:
    slow(ColdSegment, "search_many", 60.0)
    slow(HotTier, "search_many", 60.0)
    result = everything(engine)
    assert sorted(ids(result)) == [*range(1, 11), *range(31, 36)]
    assert result.left_out == {Tier.COLD, Tier.HOT}
    assert result.note == f"{COLD_NOTE}; {HOT_NOTE}"


def test_an_exact_search_was_asked_for_whatever_it_costs(engine: Engine, slow: Slow) -> None:
    slow(ColdSegment, "search_many", 60.0)
    slow(HotTier, "search_many", 60.0)
    result = everything(engine, exact=True)
    assert (len(result.hits), result.complete, result.exact) == (40, True, True)


def test_questions_searched_together_have_their_time_together(engine: Engine, slow: Slow) -> None:
    slow(ColdSegment, "search_many", 0.6)
    two = engine.search_many([SearchRequest(ROWS[0], 40), SearchRequest(ROWS[1], 40)])
    assert all(isinstance(result, SearchResult) and result.complete for result in two)


def test_a_partial_answer_is_neither_cached_nor_taken_as_a_sample(engine: Engine, slow: Slow) -> None:
    slow(ColdSegment, "search_many", 0.6)
    assert not everything(engine).complete
    assert everything(engine).cached is None
    assert len(engine._context.caches.queries) == 0
    assert not engine.recall.step()
    assert engine.recall.wanted


def test_a_cached_answer_that_comes_too_late_is_let_go(engine: Engine, slow: Slow) -> None:
    request = SearchRequest(ROWS[0], 3, filter=Exact("colour", "red"))
    asked = [engine.search(request).cached for _ in range(2)]
    assert asked == [None, CachedKind.EXACT]
    slow(ColdSegment, "count", 0.004)
    result = engine.search(request)
    assert (result.cached, result.complete, len(result.hits)) == (None, True, 3)
    assert engine.stats().query_cache_counts["late"] == 1
