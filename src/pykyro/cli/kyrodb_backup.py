"""kyrodb_backup: create, list, verify, restore and prune backups. Works on files; needs no server and no engine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pykyro.backup.archive.writer import Throttle
from pykyro.backup.collections import (
    back_up_collections,
    known_collections,
    place_of,
    prune_collections,
    set_of,
)
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.filename import is_backup_id
from pykyro.backup.history.catalog import Catalog, read_catalog
from pykyro.backup.history.order import clock_faults
from pykyro.backup.history.retention import Retention, prune_backups
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan, instant, plan_backup, plan_position, plan_time
from pykyro.backup.restore import describe_restore, restore
from pykyro.backup.restore_collections import PlanOf, plan_member, restore_beside, restore_one
from pykyro.backup.source.seal_request import WAIT_S, seal_first
from pykyro.backup.target.locate import is_url, open_target
from pykyro.backup.target.scratch import scratch_directory
from pykyro.backup.target.target import Target
from pykyro.backup.verify import verify_backup, verify_deep
from pykyro.cli.backup import output
from pykyro.cli.backup.arguments import CLEAR, parse_arguments
from pykyro.cli.backup.tables import met
from pykyro.cli.command import orderly_end, run
from pykyro.model.collection import DEFAULT
from pykyro.model.errors import FailedPrecondition, InvalidArgument, NotFound
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
    filesystem, clock = LocalFileSystem(), SystemClock()
    with output.progress("Copying") as progress:
        wanted = CreateOptions(
            incremental=options.incremental,
            reference=options.reference,
            full_after_days=options.full_after_days,
            description=options.description,
            pace=Throttle(rate).take,
            progress=progress.reach,
            warn=output.warn,
        )
        back_up = partial(back_up_collections, filesystem, data_dir, options.backup_dir, clock, wanted)
        if options.collection is not None:
            for one in back_up(only=options.collection):
                told = "nothing changed since the last one" if one.entry is None else one.entry.id
                print(f"\nBackup of collection {one.name}: {told}")
            return
        entry = create_backup(filesystem, data_dir, _target(options), clock, wanted)
        made = back_up(of=entry)
    print(f"\nBackup ID: {entry.id}")
    print(f"Type: {entry.record.backup_type}")
    print(f"Size: {entry.size_bytes} bytes")
    print(f"Vectors: {entry.record.documents}")
    if made:
        unchanged = sum(one.entry is None for one in made)
        print(f"Collections: {len(made)}, {unchanged} of them unchanged since their last backup")
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
    catalog = _catalog(_target_of(options))
    if chosen == "json":
        output.print_json(catalog, _clock_faults(catalog))
    else:
        output.print_table(catalog)


def _verify(options: argparse.Namespace) -> None:
    target, clock = _target_of(options), SystemClock()
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
    if options.collection is not None:
        _restore_one(options, data_dir)
        return
    target = _target(options)
    store, catalog = Store(target), _catalog(target)
    plan = met(options, catalog, store, _plan(options, catalog, store))
    if plan.note:
        output.warn(plan.note)
    filesystem = LocalFileSystem()
    if options.dry_run:
        output.print_restore(describe_restore(filesystem, data_dir, plan), plan, data_dir)
        return
    allow_clear = os.environ.get(CLEAR, "").lower() == "true"
    collections, clock = set_of(target, plan.latest.id), SystemClock()

    def beside(staging: Path) -> None:
        if collections is not None:
            restore_beside(
                filesystem, staging, options.backup_dir, collections, clock, _plan_of(options), progress.step
            )

    with output.progress("Restoring", plan.size_bytes) as progress:
        report = restore(
            filesystem,
            data_dir,
            store,
            plan,
            clock,
            allow_clear=allow_clear,
            step=progress.step,
            beside=beside,
        )
    if collections is not None and options.lsn is not None:
        output.warn(
            f"positions are of {DEFAULT} alone: the {len(collections.members)} other collections are as of backup "
            f"{plan.latest.id}"
        )
    if report.leftover is not None:
        output.warn(f"the previous content of {data_dir} is still in {report.leftover}; you can remove it")
    if options.backup_id is not None:
        print(f"\nDatabase restored from backup {options.backup_id}")
    elif options.point_in_time is not None:
        print(f"\nDatabase restored to point-in-time: {instant(options.point_in_time)}")
    else:
        print(f"\nDatabase restored to position {options.lsn}")


def _plan_of(options: argparse.Namespace) -> PlanOf:
    """What to restore of a collection that belongs to a backup: it itself, or with an instant the state then."""

    def plan(catalog: Catalog, store: Store, backup_id: str) -> RestorePlan:
        return met(options, catalog, store, wanted(catalog, store, backup_id))

    def wanted(catalog: Catalog, store: Store, backup_id: str) -> RestorePlan:
        if options.point_in_time is None:
            return plan_member(catalog, store, backup_id)
        # One that did not change since has no backup that reaches the instant; then its last one is its state.
        newest = catalog.restorable()[0]
        if newest.record.created_us < options.point_in_time:
            return plan_backup(catalog, newest.id)
        return plan_time(catalog, options.point_in_time, store)

    return plan


def _restore_one(options: argparse.Namespace, data_dir: Path) -> None:
    """Restore one collection into a database that is there."""
    known = known_collections(_target(options))
    number = known.number_of(options.collection)
    if number is None:
        names = ", ".join(sorted({one.name for one in known.collections.values()})) or "none"
        raise NotFound(
            f"no collection {options.collection!r} has backups in {options.backup_dir}; those that have: {names}"
        )
    target = open_target(place_of(options.backup_dir, number))
    store, catalog = Store(target), _catalog(target)
    plan = met(options, catalog, store, _plan(options, catalog, store))
    name, filesystem = getattr(options, "as") or options.collection, LocalFileSystem()
    if options.dry_run:
        print(f"Collection {name} would be {plan.size_bytes} bytes at position {plan.lsn}")
        return
    with output.progress("Restoring", plan.size_bytes) as progress:
        restore_one(
            filesystem,
            data_dir,
            name,
            known.collections[number].entry,
            store,
            plan,
            SystemClock(),
            progress.step,
        )
    print(f"\nCollection {name} restored to position {plan.lsn}")


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
    clock, dry_run = SystemClock(), options.dry_run
    pruned = prune_backups(target, retention, clock, dry_run=dry_run)
    pruned += prune_collections(
        target,
        options.backup_dir,
        pruned,
        lambda one: prune_backups(one, retention, clock, dry_run=dry_run),
        dry_run=dry_run,
    )
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


def _target_of(options: argparse.Namespace) -> Target:
    """Where the backups of --collection are."""
    if options.collection is None:
        return _target(options)
    number = known_collections(_target(options)).number_of(options.collection)
    if number is None:
        raise NotFound(f"no collection {options.collection!r} has backups in {options.backup_dir}")
    return open_target(place_of(options.backup_dir, number))


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
