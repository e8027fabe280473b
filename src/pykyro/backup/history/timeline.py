"""From backups to any moment in between: which segments to start from, and which part of the log to run.

Each backup of a history is a state at its sealed position and a stretch of the log; where one `continues`
another, their stretches join. So a position can be reached from any sealed position before it, if the log in
between is there without a gap. An instant is the position of the last frame written at or before it.

After a restore, or after the disk was rolled back to an image, positions are given out a second time: another line.
An instant then belongs to the line of the first backup that was made after it; a position to the line made last that
reaches it, unless the line of another backup is asked for. Lines are proved by backups that `continue` each other.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from pykyro.backup.archive.record import LogSegment, Record
from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.chain import chain_of, log_of, share_position, tip_of, tips
from pykyro.backup.history.instants import Fit, fits
from pykyro.backup.history.store import Store
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import LSN

_CHOICES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Segments of `base`, then `log` up to position `lsn`; tenants and usage as `latest` has them. `note` is a text
    for the operator, "" for none."""

    base: Record
    latest: Record
    log: tuple[LogSegment, ...]
    lsn: LSN
    note: str = ""

    @property
    def archives(self) -> list[str]:
        """Every archive that is read, oldest first."""
        files = {file.archive for file in (*self.base.files, *self.latest.files)}
        return sorted(files | {piece.archive for segment in self.log for piece in segment.pieces})

    @property
    def size_bytes(self) -> int:
        """Approximate size of the restored directory."""
        files = sum(file.size_bytes for file in self.base.files)
        return files + sum(segment.end_offset for segment in self.log)


def plan_backup(catalog: Catalog, backup_id: str) -> RestorePlan:
    """The very state of a backup. Raises InvalidArgument when it does not exist, FailedPrecondition."""
    entry = catalog.find(backup_id)
    missing = catalog.missing(entry)
    if missing:
        raise FailedPrecondition(
            f"Parent backup {missing[0]} not found: {backup_id} cannot be restored without it"
        )
    record = entry.record
    return RestorePlan(record, record, record.needed_log, record.position.lsn)


def plan_position(catalog: Catalog, lsn: LSN, line: str | None = None) -> RestorePlan:
    """The state right after position `lsn`, on the line of the backup `line` if that is given.

    Raises InvalidArgument when there is no such backup, FailedPrecondition when none reaches the position.
    """
    ends = tips(catalog) if line is None else [tip_of(catalog, catalog.find(line).record)]
    found = [(tip, plan) for tip in ends if (plan := _on_line(catalog, tip, lsn)) is not None]
    if not found:
        where = f"position {lsn}" if line is None else f"position {lsn} on the line of {line}"
        raise FailedPrecondition(f"No backup reaches {where}: {_reach_of(catalog)}")
    tip, plan = found[0]
    others = [other.id for other, _ in found[1:] if not share_position(catalog, tip, other, lsn)]
    if not others:
        return plan
    note = (
        f"position {lsn} was given out more than once; this is the one of the line of {tip.id}, the newest. "
        f"--line ID restores another: {', '.join(others[:_CHOICES_MAX])}"
    )
    return replace(plan, note=note)


def plan_time(catalog: Catalog, time_us: int, store: Store) -> RestorePlan:
    """The state after the last write at or before the instant, in microseconds of Unix time.

    Raises FailedPrecondition when no backup reaches it, or when the clock was wrong and several positions fit;
    DataDamaged, OSError.
    """
    if not catalog.entries:
        raise FailedPrecondition(f"No full backup found before {instant(time_us)}: there are no backups")
    found: list[tuple[Fit, RestorePlan]] = []
    for tip in _tips_at(catalog, time_us):
        for fit in fits(catalog, tip, time_us, store):
            plan = _on_line(catalog, tip, fit.at.lsn)
            if plan is not None:
                _add(catalog, found, fit, plan)
    if not found:
        raise FailedPrecondition(f"No full backup found before {instant(time_us)}: {_reach_of(catalog)}")
    if len(found) > 1:
        raise FailedPrecondition(_ambiguous(catalog, time_us, [fit for fit, _ in found]))
    fit, plan = found[0]
    if fit.behind is None and time_us > max(fit.at.wall_us, fit.tip.created_us):
        made = instant(fit.tip.created_us)
        return replace(
            plan, note=f"no backup was made after that; what was written since {made} is not in it"
        )
    return plan


def instant(time_us: int) -> str:
    """A moment as people write it, in UTC."""
    try:
        stamp = datetime.datetime.fromtimestamp(time_us // 1_000_000, datetime.UTC)
    except (ValueError, OverflowError):
        # The clock was very wrong, or the record was forged.
        return f"{time_us // 1_000_000} s after 1970"
    return f"{stamp:%Y-%m-%d %H:%M:%S} UTC"


def _exact(time_us: int) -> str:
    """As `instant`, to the microsecond: a bound that was rounded down would lie outside."""
    return instant(time_us).replace(" UTC", f".{time_us % 1_000_000:06d} UTC")


def _tips_at(catalog: Catalog, time_us: int) -> list[Record]:
    """Ends of the lines on which the database was at an instant, as far as the times of the backups tell."""
    made = [entry.record for entry in reversed(catalog.entries)]
    after = [
        record
        for before, record in zip([None, *made], made, strict=False)
        if time_us <= record.created_us and (before is None or before.created_us < time_us)
    ]
    if made[-1].created_us < time_us:
        after.append(made[-1])
    ends = {tip.id: tip for tip in (tip_of(catalog, record) for record in after)}
    return list(ends.values())


def _on_line(catalog: Catalog, tip: Record, lsn: LSN) -> RestorePlan | None:
    """The way to a position of the line that ends with `tip`, tenants and usage as soon after it as possible."""
    for latest in reversed(list(chain_of(catalog, tip))):
        if latest.position.lsn >= lsn:
            plan = _reach(catalog, tip, latest, lsn)
            if plan is not None:
                return plan
    return None


def _add(catalog: Catalog, found: list[tuple[Fit, RestorePlan]], fit: Fit, plan: RestorePlan) -> None:
    """Add it unless the same position is there already."""
    lsn = fit.at.lsn
    if not any(f.at.lsn == lsn and share_position(catalog, f.tip, fit.tip, lsn) for f, _ in found):
        found.append((fit, plan))


def _ambiguous(catalog: Catalog, time_us: int, found: list[Fit]) -> str:
    # Without a line a position is that of the newest one, which need not be the one that is meant here.
    several_lines = len(tips(catalog)) > 1
    choices = []
    for fit in found[:_CHOICES_MAX]:
        line = f" --line {fit.tip.id}" if several_lines else ""
        behind = (
            "nothing later is known" if fit.behind is None else f"the next: {instant(fit.behind.wall_us)}"
        )
        choices.append(f"--lsn {fit.at.lsn}{line} (the clock showed {instant(fit.at.wall_us)}; {behind})")
    more = f"; and {len(found) - _CHOICES_MAX} more" if len(found) > _CHOICES_MAX else ""
    return (
        f"{instant(time_us)} fits {len(found)} positions, because the clock was set back or was ahead for a while. "
        f"Choose one of these instead of --point-in-time: {'; '.join(choices)}{more}"
    )


def _reach(catalog: Catalog, tip: Record, latest: Record, lsn: LSN) -> RestorePlan | None:
    """The way to a position at or before that of `latest`, from the nearest segments; None when there is none."""
    line = log_of(catalog, latest)
    best: Record | None = None
    for base in chain_of(catalog, tip):
        reached = base.sealed_lsn == lsn or (line and line[0].base_lsn - 1 <= base.sealed_lsn < lsn)
        if reached and _has_files(catalog, base) and (best is None or base.sealed_lsn > best.sealed_lsn):
            best = base
    if best is None:
        return None
    log = tuple(s for s in line if s.last_lsn > best.sealed_lsn and s.base_lsn <= lsn)
    return RestorePlan(best, latest, log, lsn)


def _has_files(catalog: Catalog, base: Record) -> bool:
    present: Iterable[str] = {entry.id for entry in catalog.entries}
    return {file.archive for file in base.files} <= set(present)


def _reach_of(catalog: Catalog) -> str:
    """What can be reached, for an operator."""
    records = [entry.record for entry in catalog.restorable()]
    if not records:
        return "no backup can be restored"
    spans = [
        f"{record.id} reaches positions {record.sealed_lsn} to {record.position.lsn}, "
        f"{_exact(record.sealed_time_us)} to {_exact(max(record.sealed_time_us, record.position.time_us))}"
        for record in (records[-1], records[0])
    ]
    return "; ".join(dict.fromkeys(spans))
