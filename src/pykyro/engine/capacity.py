"""How many documents there may be, if that is bounded: a warning while there is time, and words for the refusal."""

from __future__ import annotations

import logging
from typing import Final

from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import COUNT_MAX
from pykyro.system.alarm import Alarm
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)

_NEARLY_FULL_PERCENT: Final = 90
"""Of the documents there may be; from here on the operator is warned."""


class Capacity:
    """The bound on live documents, whose setting is `name`; COUNT_MAX is none."""

    def __init__(self, documents_max: int, name: str, clock: Clock) -> None:
        self.documents_max = documents_max
        self._name = name
        self.watch_from = _nearly_full_from(documents_max)
        """Documents from which `look` has something to say."""
        self.alarmed = False
        """Whether it was found that documents may not fit, and not yet that they do again."""
        self._nearly_full = Alarm(_log, clock)
        self._full = Alarm(_log, clock)

    def warning(self, documents: int) -> str:
        """The warning for the operator; empty while there is room."""
        return capacity_warning(documents, self.documents_max, self._name)

    def look(self, documents: int) -> None:
        """Log a change; so many documents are stored now."""
        self.alarmed = documents >= self.watch_from
        if documents >= self.documents_max:
            self._full.on(self.warning(documents))
            return
        if self._full.is_on:
            self._full.off(
                f"new documents are accepted again: {documents} of {self._name} = {self.documents_max}"
            )
        if self.alarmed:
            self._nearly_full.on(self.warning(documents), logging.WARNING)
        elif self._nearly_full.is_on:
            self._nearly_full.off(f"there is room again: {documents} of {self._name} = {self.documents_max}")

    def refusal(self, documents: int) -> ResourceExhausted:
        """The error for one more document."""
        return ResourceExhausted(
            f"HNSW index full: {documents} elements (max {self.documents_max}); delete documents, raise "
            f"{self._name}, or leave it out for no bound"
        )


def capacity_warning(documents: int, documents_max: int, name: str) -> str:
    """The warning for so many documents, with the bound `documents_max` of the setting `name`; empty while there is
    room."""
    if documents < _nearly_full_from(documents_max):
        return ""
    if documents >= documents_max:
        return (
            f"the database is full: {documents} documents, {name} = {documents_max}. New ones are refused; delete "
            f"documents, raise {name}, or leave it out for no bound"
        )
    return (
        f"the database is nearly full: {documents} documents of {name} = {documents_max}. After that, new "
        f"documents are refused; raise {name}, or leave it out for no bound"
    )


def _nearly_full_from(documents_max: int) -> int:
    return -(-documents_max * _NEARLY_FULL_PERCENT // 100) if documents_max < COUNT_MAX else COUNT_MAX
