"""kyrodb_backup: create, list, verify, restore and prune backups. Works on files; needs no server and no engine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pykyro.backup.archive.writer import Throttle
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.filename import is_backup_id
from pykyro.backup.history.catalog import Catalog, read_catalog
from pykyro.backup.history.order import clock_faults
from pykyro.backup.history.retention import Retention, prune_backups
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan, instant, plan_backup, plan_position, plan_time
from pykyro.backup.restore import describe_restore, restore
from pykyro.backup.source.seal_request import WAIT_S, seal_first
from pykyro.backup.target.locate import is_url, open_target
from pykyro.backup.target.scratch import scratch_directory
from pykyro.backup.target.target import Target
from pykyro.backup.verify import verify_backup, verify_deep
from pykyro.cli.backup import output
from pykyro.cli.backup.arguments import CLEAR, parse_arguments
from pykyro.cli.command import orderly_end, run
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 for success, 1 for any error, 2 for wrong usage."""

    def body() -> None:
        options = parse_arguments(_VERBS, arguments)
        with orderly_end():
            options.run(options)

    return run(body, output.error)


# --- verbs ----------------------------------------------------------------------------------------


def _create(options: argparse.Namespace) -> None:
    data_dir = _data_dir(options)
    _require_apart(data_dir, options.backup_dir)
    rate = None if options.max_mb_per_s is None else options.max_mb_per_s * 1e6
    if options.seal:
        seal_first(LocalFileSystem(), data_dir, options.seal_wait_secs or WAIT_S)
    with output.progress("Copying") as progress:
        entry = create_backup(
            LocalFileSystem(),
            data_dir,
            _target(options),
            SystemClock(),
            CreateOptions(
                incremental=options.incremental,
                reference=options.reference,
                full_after_days=options.full_after_days,
                description=options.description,
                pace=Throttle(rate).take,
                progress=progress.reach,
                warn=output.warn,
            ),
        )
    print(f"\nBackup ID: {entry.id}")
    print(f"Type: {entry.record.backup_type}")
    print(f"Size: {entry.size_bytes} bytes")
    print(f"Vectors: {entry.record.documents}")
    if options.seal:
        print(f"Sealed up to position: {entry.record.sealed_lsn}")


def _list(options: argparse.Namespace) -> None:
    chosen = options.format or ("table" if output.has_tables() else "json")
    if chosen == "table" and not output.has_tables():
        raise InvalidArgument(
            "--format table needs the cli-tools extra (pip install 'pykyro[cli-tools]'); "
            "without it there is --format json",
            field="format",
        )
    catalog = _catalog(_target(options))
    if chosen == "json":
        output.print_json(catalog, _clock_faults(catalog))
    else:
        output.print_table(catalog)


def _verify(options: argparse.Namespace) -> None:
    target, clock = _target(options), SystemClock()
    catalog = _catalog(target)
    if options.newest and not catalog.entries:
        raise FailedPrecondition(f"No backups found in {target.location}")
    backup_id = catalog.entries[0].id if options.newest else _backup_id(options.id or options.backup_id)
    total = sum(entry.size_bytes for entry in catalog.chain(catalog.find(backup_id)))
    with output.progress("Reading", total) as progress:
        entry = verify_backup(target, catalog, backup_id, clock, progress.step)
    check = None
    if options.deep:
        with scratch_directory(options.scratch_dir) as scratch:
            check = verify_deep(LocalFileSystem(), scratch / "data", target, catalog, backup_id, clock)
    print(f"\nBackup {backup_id} is valid")
    print(f"Size: {entry.size_bytes} bytes")
    print(f"Checksum: 0x{entry.checksum:08X} (verified)")
    if check is not None:
        print(
            f"Recovery: {check.documents} documents at position {check.lsn}, "
            f"{check.searches} of them searched for and found"
        )


def _restore(options: argparse.Namespace) -> None:
    data_dir = _data_dir(options)
    _require_apart(data_dir, options.backup_dir)
    target = _target(options)
    store, catalog = Store(target), _catalog(target)
    plan = _plan(options, catalog, store)
    if plan.note:
        output.warn(plan.note)
    filesystem = LocalFileSystem()
    if options.dry_run:
        output.print_restore(describe_restore(filesystem, data_dir, plan), plan, data_dir)
        return
    allow_clear = os.environ.get(CLEAR, "").lower() == "true"
    with output.progress("Restoring", plan.size_bytes) as progress:
        report = restore(
            filesystem, data_dir, store, plan, SystemClock(), allow_clear=allow_clear, step=progress.step
        )
    if report.leftover is not None:
        output.warn(f"the previous content of {data_dir} is still in {report.leftover}; you can remove it")
    if options.backup_id is not None:
        print(f"\nDatabase restored from backup {options.backup_id}")
    elif options.point_in_time is not None:
        print(f"\nDatabase restored to point-in-time: {instant(options.point_in_time)}")
    else:
        print(f"\nDatabase restored to position {options.lsn}")


def _prune(options: argparse.Namespace) -> None:
    retention = Retention(
        options.keep_hourly,
        options.keep_daily,
        options.keep_weekly,
        options.keep_monthly,
        options.min_age_days,
    )
    target = _target(options)
    _catalog(target)
    pruned = prune_backups(target, retention, SystemClock(), dry_run=options.dry_run)
    if not pruned:
        print("No backups pruned (all within retention policy)")
        return
    print(f"{'Would prune' if options.dry_run else 'Pruned'} {len(pruned)} backup(s):")
    for backup_id in pruned:
        print(f"  - {backup_id}")


# --- what they share ------------------------------------------------------------------------------


def _plan(options: argparse.Namespace, catalog: Catalog, store: Store) -> RestorePlan:
    if options.backup_id is not None:
        return plan_backup(catalog, _backup_id(options.backup_id))
    if options.lsn is not None:
        return plan_position(catalog, options.lsn, options.line and _backup_id(options.line))
    return plan_time(catalog, options.point_in_time, store)


def _catalog(target: Target) -> Catalog:
    catalog = read_catalog(target)
    for line in catalog.warnings:
        output.warn(line)
    faults = _clock_faults(catalog)
    if faults:
        backup_id, fault = next(iter(faults.items()))
        others = f", and the times of {len(faults) - 1} more are wrong too" if len(faults) > 1 else ""
        output.warn(
            f"the clock was wrong: backup {backup_id} {fault}{others}. Backups are listed and kept in the order in "
            f"which they were made"
        )
    return catalog


def _clock_faults(catalog: Catalog) -> dict[str, str]:
    records = [entry.record for entry in reversed(catalog.entries)]
    return clock_faults(records, SystemClock().wall_us())


def _target(options: argparse.Namespace) -> Target:
    return open_target(options.backup_dir)


def _data_dir(options: argparse.Namespace) -> Path:
    """The directory itself where a link leads to one, so that it can be swapped."""
    resolved: Path = options.data_dir.resolve()
    return resolved


def _require_apart(data_dir: Path, backup_dir: str) -> None:
    if not is_url(backup_dir) and Path(backup_dir).resolve().is_relative_to(data_dir):
        raise InvalidArgument(
            f"--backup-dir {backup_dir} lies inside --data-dir {data_dir}: a restore would delete it",
            field="backup_dir",
        )


def _backup_id(text: str) -> str:
    if not is_backup_id(text):
        raise InvalidArgument(
            f"{text!r} is not a backup id; an example is 20250601T120000Z", field="backup_id"
        )
    return text


_VERBS = {"create": _create, "list": _list, "verify": _verify, "restore": _restore, "prune": _prune}


if __name__ == "__main__":
    sys.exit(main())
