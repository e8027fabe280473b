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

if TYPE_CHECKING:
    from pykyro.database.collections import Collections

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one collection: all documents, those of each tenant, and the dimension of their vectors."""

    documents: int
    dimension: int
    tenants: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine) -> Counts:
        return cls(engine.documents, engine.schema.dimension, engine.tenant_documents())


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

    def count_the_rest(self) -> None:
        """Open every collection whose counts are not known, one after the other; one that cannot be opened is left
        out."""
        for name in sorted(set(self._collections.names_by_number().values()) - self.by_name().keys()):
            try:
                with self._collections.using(name) as engine:
                    self._remember(self._collections.number_of(name), engine)
            except KyroError as error:
                _log.warning("the documents of collection %s cannot be counted: %s", name, error)

    def _remember(self, number: int, engine: Engine) -> None:
        self._closed[number] = Counts.of(engine)
