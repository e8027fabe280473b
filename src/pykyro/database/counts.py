"""How many documents each collection has, and each tenant in it, as far as that is known without opening any.

An open collection knows. One that was open keeps its last counts here; what was not opened since the start is counted
once by `count_the_rest`, which opens it, when somebody needs to know.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pykyro.engine.engine import Engine
from pykyro.model.errors import KyroError
from pykyro.model.expiry import NEVER_US

if TYPE_CHECKING:
    from pykyro.database.collections import Collections

_log: Final = logging.getLogger(__name__)
_OPENED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one collection: all documents, those of each tenant, and the dimension of their vectors; all true until the
    instant `expires_from_us`."""

    documents: int
    dimension: int
    tenants: dict[str, int] = field(default_factory=dict)
    expires_from_us: int = NEVER_US

    @classmethod
    def of(cls, engine: Engine) -> Counts:
        tenants = engine.tenant_documents()
        return cls(engine.documents, engine.schema.dimension, tenants, engine.expires_from_us)


class KnownCounts:
    """Any thread may call any method."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self._closed: dict[int, Counts] = {}
        collections.open.on_close = self._remember

    def by_name(self) -> dict[str, Counts]:
        """Of every collection but `default` that they are known of."""
        names = self._collections.names_by_number()
        return {names[number]: counts for number, counts in self.by_number().items() if number in names}

    def by_number(self) -> dict[int, Counts]:
        """The same by the numbers of the collections."""
        names = self._collections.names_by_number()
        known = {number: counts for number, counts in list(self._closed.items()) if number in names}
        self._closed = dict(known)
        known |= {number: Counts.of(engine) for number, engine in self._collections.open.engines().items()}
        return known

    def count_again(self) -> None:
        """Open those in which documents may have gone while they were closed, a few at a time."""
        now_us = self._collections.clock.wall_us()
        due = [number for number, counts in list(self._closed.items()) if counts.expires_from_us <= now_us]
        names = self._collections.names_by_number()
        for number in due[:_OPENED_AT_ONCE]:
            if number in names:
                self._count(names[number])

    def count_the_rest(self) -> None:
        """Open every collection whose counts are not known, one after the other; one that cannot be opened is left
        out."""
        for name in sorted(set(self._collections.names_by_number().values()) - self.by_name().keys()):
            self._count(name)

    def _count(self, name: str) -> None:
        try:
            with self._collections.using(name) as engine:
                self._remember(self._collections.number_of(name), engine)
        except KyroError as error:
            _log.warning("the documents of collection %s cannot be counted: %s", name, error)

    def _remember(self, number: int, engine: Engine) -> None:
        self._closed[number] = Counts.of(engine)
