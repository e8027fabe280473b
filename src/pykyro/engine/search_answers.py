"""What the way of a search hands from step to step, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from pykyro.engine.tiers.tier import Candidates, RowSource
from pykyro.model.requests import SearchRequest, SearchResult, Stage, Tier

Candidacy: TypeAlias = Sequence[tuple[RowSource, Candidates]]
"""What each tier found for one query, the oldest tier first."""
RoomForAnswer: TypeAlias = Callable[[int, int], object]
"""Given the bytes of an answer and the number of its documents, what is kept until it has been handed on. Raises
ResourceExhausted."""


class Ranked(NamedTuple):
    """An answer, what the tiers found for it, and the similarity of the k-th best: minus infinity when there are
    fewer."""

    result: SearchResult
    found: Candidacy
    kth: float


class LeftOut(NamedTuple):
    """The kinds of tier that were not searched to their end, and why, in a sentence without numbers of rows; and when
    each tier was searched, if that was to be measured."""

    tiers: frozenset[Tier] = frozenset()
    reason: str = ""
    stages: Sequence[Stage] = ()


NOTHING_LEFT_OUT: Final = LeftOut()


class RecallSampler(Protocol):
    """Whoever watches recall: takes an answer now and then, and says when."""

    wanted: bool

    def offer(self, request: SearchRequest, result: SearchResult) -> None: ...
