"""How much trouble to take over questions that do not repeat.

Looking for near questions and keeping answers each cost a search about a tenth of its time, so they pay from one
answer in six on. While not one of some hundreds is answered that way, near questions are looked for only now and
then; while not one of a thousand is answered at all, only a share of the answers is kept, and the cache is asked only
a share of the questions at all, enough to notice those that come again. One that is answered brings everything back.
Counts may be off by a few when threads meet, which does no harm.
"""

from __future__ import annotations

import random
from typing import Final

_BATCH: Final = 16
"""Answers that become entries together, which takes half the time; until then only the same question finds them."""
_BATCH_FROM: Final = 64
_LOOK_LESS_FROM: Final = 256
_LOOK_SHARE: Final = 1 / 16
_KEEP_LESS_FROM: Final = 1024
_KEEP_SHARE: Final = 1 / 16
_ASK_SHARE: Final = 1 / 4
"""Of the questions whose answers are not kept."""
_KEEP_RUN: Final = 64
"""Answers in a row that are kept or not: questions of which all are kept, or none, can be searched together."""


class Pace:
    """Counts questions since the last one that was answered."""

    __slots__ = ("_keeps_run", "_unanswered", "_unlike")

    def __init__(self) -> None:
        self._keeps_run = True
        self._unanswered = 0
        self._unlike = 0
        """Questions for which no near one could answer."""

    @property
    def batch(self) -> int:
        """How many answers to gather before they become entries."""
        return 1 if self._unlike < _BATCH_FROM else _BATCH

    @property
    def expects_repeats(self) -> bool:
        """Whether one of the latest questions was answered."""
        return self._unanswered < _KEEP_LESS_FROM

    def asks(self) -> bool:
        """Whether to ask the cache a question; if not, its answer is not kept either."""
        return self.expects_repeats or self._keeps_run or random.random() < _ASK_SHARE

    def looks(self) -> bool:
        """Whether to look for a near question."""
        return self._unlike < _LOOK_LESS_FROM or random.random() < _LOOK_SHARE

    def keeps(self) -> bool:
        """Whether to keep the answer of a search."""
        return self.expects_repeats or self._keeps_run

    def looked(self, *, found: bool) -> None:
        """A near question was looked for."""
        self._unlike = 0 if found else self._unlike + 1

    def asked(self, *, answered: bool) -> None:
        """A question was asked."""
        self._unanswered = 0 if answered else self._unanswered + 1
        if self._unanswered % _KEEP_RUN == 0:
            self._keeps_run = random.random() < _KEEP_SHARE
