"""Reads that want a position: they wait a bounded time until the engine has it, or are told that it has not.

Whatever was acknowledged here is visible at once, so nobody waits for his own writes. A position can be ahead where
a copy follows another database, and after a restore to an earlier moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from pykyro.engine.state import State
from pykyro.model.errors import FailedPrecondition, Unavailable
from pykyro.model.freshness import Freshness

_FIRST_REST_S: Final = 0.001
_REST_S_MAX: Final = 0.02


def wait_for(state: State, wanted: Freshness | None) -> None:
    """Return when the position is reached. Raises FailedPrecondition when it is not in time."""
    if wanted is not None:
        for rest_s in _rests(state, wanted):
            time.sleep(rest_s)


async def until_fresh(state: State, wanted: Freshness | None, *, follows: bool = False) -> None:
    """The same on an event loop, which goes on meanwhile. A state that `follows` another raises Unavailable: whoever
    leads may have the position."""
    if wanted is not None:
        try:
            for rest_s in _rests(state, wanted):
                await asyncio.sleep(rest_s)
        except FailedPrecondition:
            if follows:
                raise Unavailable(behind(state, wanted)) from None
            raise


def behind(state: State, wanted: Freshness) -> str:
    """What a read is told that wants more than a follower has."""
    return (
        f"this reader is at position {state.position}, and min_position is {wanted.min_position}: the writer did not "
        f"get there, or not here, within {wanted.max_wait_s:g} s (max_wait_s). Ask again later, or the leader, or "
        "without min_position"
    )


def _rests(state: State, wanted: Freshness) -> Iterator[float]:
    """Pauses until the position is reached; looking costs a writer nothing."""
    if state.position >= wanted.min_position:
        return
    until_s, rest_s = time.monotonic() + wanted.max_wait_s, _FIRST_REST_S
    while (left_s := until_s - time.monotonic()) > 0:
        yield min(rest_s, left_s)
        rest_s = min(2 * rest_s, _REST_S_MAX)
        if state.position >= wanted.min_position:
            return
    raise FailedPrecondition(
        f"the collection is at position {state.position}, and min_position is {wanted.min_position}: it was not "
        f"reached within {wanted.max_wait_s:g} s (max_wait_s). Ask again later, or without min_position; after a "
        "restore to an earlier moment, positions noted before mean nothing"
    )
