"""Which positions of a line fit an instant, when the clock may have been set back or ahead.

A line is read as a sequence of looks at the clock: each frame says what the clock showed when it was written. An
instant lies between two looks, one at or before it and the next one behind it, and the state is then that of the
first. With a clock that only goes forward there is one such place. With one that was wrong for a while there are
several, and nothing in the log tells which is meant.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pykyro.backup.archive.record import LogSegment, Record
from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.chain import chain_of, log_of
from pykyro.backup.history.store import Store
from pykyro.model.types import LSN


@dataclass(frozen=True, slots=True)
class Look:
    """The clock showed `wall_us` when position `lsn` had been reached.

    `sure` is False where the frame only repeats the time of the one before it and cannot say whether the clock was
    behind that, as in earlier versions.
    """

    lsn: LSN
    wall_us: int
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Fit:
    """A position that fits: the line of backup `tip`, the look before the instant, and the one behind it, if any."""

    tip: Record
    at: Look
    behind: Look | None


def fits(catalog: Catalog, tip: Record, time_us: int, store: Store) -> list[Fit]:
    """Where the instant lies on the line that ends with backup `tip`, in order. Raises DataDamaged, OSError."""
    chain = list(chain_of(catalog, tip))
    found: list[Fit] = []
    done: LSN | None = None
    for latest in chain:
        # Positions that a later backup reaches are done; an earlier one may reach positions before a gap.
        if done is not None and latest.position.lsn > done:
            continue
        stretch = log_of(catalog, latest)
        done = stretch[0].base_lsn - 1 if stretch else latest.sealed_lsn
        looks = list(_looks(chain, latest, stretch, time_us, store))
        found += _places(tip, looks, time_us, is_end=latest is tip)
    return sorted(set(found), key=lambda fit: fit.at.lsn)


def _looks(
    chain: list[Record], latest: Record, stretch: list[LogSegment], time_us: int, store: Store
) -> Iterator[Look]:
    """The looks of a stretch of log that has no gap and ends with a backup; of a segment that lies wholly on one side
    of the instant only the first and the last."""
    begin = stretch[0].base_lsn - 1 if stretch else latest.position.lsn
    known = [record.sealed_time_us for record in chain if record.sealed_lsn == begin]
    if known:
        # That of the backup made first, which looked soonest after it was reached.
        yield Look(begin, known[-1])
    for segment in stretch:
        shown = segment.shown
        witnesses = [r for r in chain if segment.base_lsn <= r.position.lsn <= segment.last_lsn and _ahead(r)]
        if shown.least_us <= time_us < shown.most_us or witnesses:
            yield from _looks_inside(segment, witnesses, store)
        else:
            yield Look(segment.base_lsn, shown.first_us)
            yield Look(segment.last_lsn, shown.last_us, segment.dated or shown.last_us != shown.first_us)
    if latest.created_us > latest.position.time_us or not stretch:
        yield Look(latest.position.lsn, latest.created_us)


def _looks_inside(segment: LogSegment, witnesses: list[Record], store: Store) -> Iterator[Look]:
    """Every frame's look, and that of each backup which was made while the clock showed less than the frame before
    it says."""
    made = {record.position.lsn: record.created_us for record in witnesses}
    before_us = segment.created_us
    for frame in store.assemble(segment).contents.frames:
        yield Look(frame.lsn, frame.wall_us, segment.dated or frame.time_us != before_us)
        before_us = frame.time_us
        if made.get(frame.lsn, frame.wall_us) < frame.wall_us:
            yield Look(frame.lsn, made[frame.lsn])


def _ahead(record: Record) -> bool:
    return record.created_us < record.position.time_us


def _places(tip: Record, looks: list[Look], time_us: int, *, is_end: bool) -> Iterator[Fit]:
    trusted = _trusted(looks)
    for at, behind in zip(trusted, [*trusted[1:], None], strict=True):
        if at.wall_us <= time_us and (is_end if behind is None else time_us < behind.wall_us):
            yield Fit(tip, at, behind)
    yield from _unknown(tip, looks, trusted, time_us)


def _trusted(looks: list[Look]) -> list[Look]:
    """Without those that are not sure and that a later one proves wrong, because the clock showed less then."""
    trusted: list[Look] = []
    least_us = math.inf
    for look in reversed(looks):
        if look.sure:
            least_us = min(least_us, look.wall_us)
        if look.sure or look.wall_us <= least_us:
            trusted.append(look)
    return trusted[::-1]


def _unknown(tip: Record, looks: list[Look], trusted: list[Look], time_us: int) -> Iterator[Fit]:
    """The last frame of each run whose true times nobody knows and which can have been written by then: the clock had
    not passed the instant before, and had at the next look."""
    kept = set(trusted)
    known_us: list[int] = []
    for look, behind in itertools.pairwise(looks):
        if look in kept:
            known_us.append(look.wall_us)
        elif behind in kept and time_us < behind.wall_us:
            # Before the clock jumped it showed no more than at the next look.
            last_us = next((shown_us for shown_us in reversed(known_us) if shown_us <= behind.wall_us), None)
            if last_us is not None and last_us <= time_us:
                yield Fit(tip, Look(look.lsn, last_us), behind)
