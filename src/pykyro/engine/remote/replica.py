"""A replica of the PostgreSQL of a cold tier: asked first, believed only with proof, and never needed.

What it answers is of one snapshot, which says itself who claimed the table and up to which position it holds
everything. That must be this claim, and no less than the position that is sealed here: then the rows it has are those
of the primary. A replica that is behind, away or slow is left alone for a moment, and the primary is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from pykyro.engine.options import RemoteOptions
from pykyro.engine.remote.link import Link, Session, conninfo_of
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.system.backoff import pause_s

_PAUSE_S: Final = 0.05
_PAUSE_MAX_S: Final = 5.0
"""So long it is left alone, twice as long each time in a row that it was of no use."""

Found = list[tuple[Any, ...]]


class Replica:
    """Any thread may call any method."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._not_before_s = 0.0
        self._failures = 0
        self.trouble = ""
        """Why it did not answer when it was last asked; empty when it did, or was merely behind."""

    def ask(self, work: Callable[[Session], Found], proves: Callable[[Found], bool]) -> Found | None:
        """What it answers; None when the primary is to be asked."""
        if time.monotonic() < self._not_before_s:
            return None
        trouble = ""
        try:
            found = self._link.call(work)
            if proves(found):
                self._failures, self.trouble = 0, ""
                return found
        except KyroError as error:
            trouble = f"{error}; the primary is asked instead"
        self.trouble = trouble
        self._failures += 1
        self._not_before_s = time.monotonic() + pause_s(self._failures, _PAUSE_S, _PAUSE_MAX_S)
        return None

    def close(self) -> None:
        self._link.close()


def replica_of(service: str, options: RemoteOptions, purpose: str) -> Replica | None:
    """The replica of a service, if there is one."""
    if not options.replica_suffix:
        return None
    name = service + options.replica_suffix
    try:
        conninfo_of(name, options.services_file)
    except FailedPrecondition:
        return None  # of this service there is none
    return Replica(Link(name, options, purpose))
