"""What a search by words takes is known before, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from tests.engine.opening import open_small, put, vectors

from pykyro.engine.engine import Engine
from pykyro.engine.words import highlights, leg_search, sought
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.model.legs import Legs
from pykyro.model.limits import HIGHLIGHTS_MAX
from pykyro.model.requests import LegHit, SearchRequest
from pykyro.model.words import WordsConfig

ROWS = vectors(200)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_small(tmp_path, words=WordsConfig(("body",)))
    opened.commit([put(at + 1, row, body=f"the word w{at} the end") for at, row in enumerate(ROWS)])
    yield opened
    opened.close()


def asked(text: str, *, highlight: bool = False) -> SearchRequest:
    return SearchRequest(ROWS[0], 5, legs=Legs(text, highlight=highlight))


@pytest.mark.parametrize("text", ["w*", '"the word"', "the word", " ".join(f"w{at}" for at in range(100))])
def test_what_takes_too_long_is_refused(engine: Engine, text: str) -> None:
    assert engine.search(asked(text)).hits
    with (
        mock.patch.object(sought, "FILTER_COST_US_MAX", 30),
        pytest.raises(InvalidArgument, match="of a processor"),
    ):
        engine.search(asked(text))


def test_costs_rise_with_what_has_to_be_looked_at(engine: Engine) -> None:
    with mock.patch.object(leg_search, "_SURELY_SHORT_US", 0):
        costs = [engine.reads.costs.search_us(asked(text)) for text in ("w1", "w1 w2 w3", '"the word"', "w*")]
    assert costs == sorted(costs)
    assert costs[3] > 10 * costs[0]


def test_without_words_nothing_is_weighed(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    for call in (engine.search, engine.reads.costs.search_us):
        with pytest.raises(FailedPrecondition, match="keeps no words"):
            call(asked("x"))
    engine.close()


def test_a_long_text_is_looked_through_up_to_a_bound(engine: Engine) -> None:
    engine.write(put(1, ROWS[0], body="here " * 500))
    (hit,) = engine.search(asked("here", highlight=True)).hits
    assert isinstance(hit, LegHit)
    assert len(hit.highlights) == HIGHLIGHTS_MAX
    with mock.patch.object(highlights, "HIGHLIGHT_CHARS_MAX", 12):
        (hit,) = engine.search(asked("here", highlight=True)).hits
    assert isinstance(hit, LegHit)
    assert [span.start for span in hit.highlights] == [0, 5]


def test_memory_of_words_is_counted(tmp_path: Path) -> None:
    """Of a hot tier, so that it is sealed before it is too much."""
    sizes = []
    for words in (None, WordsConfig(("body",))):
        engine = open_small(tmp_path / str(words is None), words=words)
        engine.commit(
            [
                put(at + 1, row, body=f"some words of their own {at} {at + 1000}")
                for at, row in enumerate(ROWS)
            ]
        )
        sizes.append(engine._context.state.hot_bytes)
        engine.close()
    assert sizes[1] - sizes[0] > len(ROWS) * 100
