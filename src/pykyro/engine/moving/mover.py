"""Where the sealed documents of an open engine are is changed here: checks, one of the two ways, and what follows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.maintenance import Maintenance
from pykyro.engine.moving.inward import Inward
from pykyro.engine.moving.outward import Outward
from pykyro.engine.options import RecallOptions
from pykyro.engine.remote.remote import drop_remote
from pykyro.model.cold_tier import LOCAL, POSTGRES, ColdTier
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.requests import MoveReport
from pykyro.storage.move_note import read_move_note, remove_move_note
from pykyro.storage.recovery import cold_tier_of

if TYPE_CHECKING:
    from pykyro.engine.engine import Engine

_log: Final = logging.getLogger(__name__)
_moving: Final = threading.Lock()
_under_way: Final[dict[int, tuple[ColdTier, Future[MoveReport]]]] = {}
"""Engines that are being moved, by identity: where to, and what comes of it."""


def nothing(step: str) -> None:
    """Told of each step, before it is taken."""


def move_engine(
    engine: Engine,
    context: EngineContext,
    maintenance: Maintenance,
    call: Callable[[Callable[[], None]], None],
    to: ColdTier,
    on_step: Callable[[str], None] = nothing,
) -> MoveReport:
    """Have the sealed documents of an engine elsewhere, or here again, while searches and writes go on. `call` runs
    what no signal handler may tear.

    Who asks for the move that is under way waits for its end. Raises FailedPrecondition when they cannot be there,
    RemoteAway, Unavailable, ResourceExhausted, WriteFailed; then they are where they were, and another try goes on
    from there.
    """
    outcome = Future[MoveReport]()
    with _moving:
        known = _under_way.setdefault(id(engine), (to, outcome))
    if known[1] is not outcome:
        if known[0] != to:
            raise FailedPrecondition(
                f"the documents are being moved to {known[0]}; when that is done, move them on"
            )
        return known[1].result()
    try:
        report = _moved(context, maintenance, call, to, on_step)
        outcome.set_result(report)
        return report
    except OSError as error:
        failure = context.write_failed(error, "moving the documents")
        outcome.set_exception(failure)
        raise failure from error
    except BaseException as error:
        outcome.set_exception(error)
        raise
    finally:
        with _moving:
            del _under_way[id(engine)]


def _moved(
    context: EngineContext,
    maintenance: Maintenance,
    call: Callable[[Callable[[], None]], None],
    to: ColdTier,
    on_step: Callable[[str], None],
) -> MoveReport:
    started_s = time.perf_counter()
    there = cold_tier_of(context.manifests.current)
    for one in (there, to):
        if one.engine not in (LOCAL, POSTGRES):
            raise FailedPrecondition(
                f"documents are moved between {LOCAL} and {POSTGRES} only, not {one.engine}"
            )
    if to.engine != LOCAL and there.engine != LOCAL and to != there:
        raise FailedPrecondition(f"the documents are in {there}: move them to {LOCAL} first, then to {to}")
    if to.engine != LOCAL and context.state.words is not None:
        raise FailedPrecondition(
            "words are kept in segments, so a collection with text options cannot be moved to PostgreSQL"
        )
    _tidy(context, to, there)
    _log.info("%s: its sealed documents are moved from %s to %s", context.directory, there, to)
    if to == there:
        report = MoveReport(context.state.documents, 0, 0, 0.0)
    elif to.engine == LOCAL:
        report = Inward(context, maintenance, call, on_step).move()
        context.options = replace(context.options, cold_tier=to)
        _tidy(context, to, to)
    else:
        note = read_move_note(context.filesystem, context.directory)
        report, _ = Outward(context, maintenance, call, on_step).move(to, note)
        context.options = replace(context.options, cold_tier=to, recall=RecallOptions())
    context.caches.release_tiers()
    report = replace(report, duration_s=time.perf_counter() - started_s)
    _log.info(
        "%s: %d sealed documents are in %s, %d copied", context.directory, report.documents, to, report.copied
    )
    return report


def _tidy(context: EngineContext, to: ColdTier, there: ColdTier) -> None:
    """Drop the table that an earlier move left or began, unless this one goes on with it. Raises RemoteAway when it
    cannot be dropped and stands in the way."""
    note = read_move_note(context.filesystem, context.directory)
    if note is None:
        return
    current = context.manifests.current.remote
    if current is not None and current.table == note.entry.table:
        remove_move_note(context.filesystem, context.directory)
        return
    if not note.leaves and to != there and to.service == note.entry.service:
        return
    try:
        drop_remote(note.entry, context.options)
    except KyroError as error:
        if to != there:
            raise
        _log.warning("kyrodb.rows_%s is not dropped yet, move again to do so: %s", note.entry.table, error)
        return
    remove_move_note(context.filesystem, context.directory)
