"""Proof that a copy answers as the original does, before it takes its place."""

from __future__ import annotations

from typing import Final

import numpy as np

from pykyro.engine.context import EngineContext
from pykyro.engine.moving.table_copy import Sealed, hidden_rows
from pykyro.engine.remote.remote_tier import RemoteTier
from pykyro.engine.tiers.tier import SearchTier, TierRequest
from pykyro.model.distance import Query
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import key_of_owner

_SEARCHES: Final = 8
_DOCUMENTS: Final = 64
_K: Final = 10
_TRIES: Final = 20
"""Documents are deleted meanwhile, so that two answers may be of two moments."""


def require_same(context: EngineContext, sealed: Sealed, copy: RemoteTier) -> int:
    """Compare some documents, all of each, and the answers of exact searches, ids and scores to the last bit; how
    many were compared. Raises FailedPrecondition when any differs."""
    return _documents(sealed, copy) + _searches(context, sealed, copy)


def _documents(sealed: Sealed, copy: RemoteTier) -> int:
    places = np.unique(np.linspace(0, len(sealed.ids) - 1, min(_DOCUMENTS, len(sealed.ids))).astype(int))
    for place in places.tolist():
        segment, row = sealed.segments[int(sealed.which[place])], int(sealed.rows[place])
        there = copy.maps.row_of(key_of_owner(int(sealed.owners[place]), int(sealed.ids[place])))
        found = None if there is None else copy.fetch((there,))[0]
        if (
            found is None
            or found.vector.tobytes() != segment.vector(row).tobytes()
            or (found.metadata.public, found.metadata.reserved)
            != (segment.public_of(row), segment.reserved_of(row))
            or found.position != int(sealed.positions[place])
        ):
            raise _differs(f"document {sealed.ids[place]}")
    return len(places)


def _searches(context: EngineContext, sealed: Sealed, copy: RemoteTier) -> int:
    count = min(_SEARCHES, len(sealed.ids))
    places = np.unique(np.linspace(0, len(sealed.ids) - 1, count).astype(int)) if count else np.empty(0, int)
    for place in places.tolist():
        vector = sealed.segments[int(sealed.which[place])].vector(int(sealed.rows[place]))
        query = Query(np.array(vector), context.options.metric)
        for _ in range(_TRIES):
            here = _answer(query, sealed.segments)
            with context.writes.lock:
                gone = hidden_rows(sealed.segments, copy.maps.row_of)
            for row in gone - copy.hidden:
                copy.delete(row)
            if here == _answer(query, (copy,)):
                break
        else:
            raise _differs(f"the answer to a search for the vector of document {sealed.ids[place]}")
    return len(places)


def _answer(query: Query, tiers: tuple[SearchTier, ...]) -> list[tuple[float, int]]:
    """The best, of all owners together."""
    request = TierRequest([query], _K, 100, None, True)
    found = list[tuple[float, int]]()
    for tier in tiers:
        (one,) = tier.search_many(request)
        found += zip((-one.similarities).tolist(), one.doc_ids.tolist(), strict=True)
    return sorted(found)[:_K]


def _differs(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{what} is not the same in the copy as here: nothing was moved. Somebody else writes to the table, or there "
        "is a fault in KyroDB: please report it"
    )
