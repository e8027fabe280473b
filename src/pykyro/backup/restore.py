"""Putting a database back: staged beside its place, proved, and swapped in by one rename.

    lock     the data directory, if there is one: a server that holds it is not disturbed
    stage    <data_dir>.restoring: files, the log up to the position, MANIFEST last, everything synced
    prove    every byte of it, as the server would
    swap     the two directories exchange their names
    clear    what was there before

Until the swap the old directory is untouched; from then on the new one is in its place, whole. What a crash
leaves in <data_dir>.restoring is worthless either way, and the next restore clears it.

The restored database begins a history of its own: the positions behind the restored one will be given out again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from pykyro.backup import filename
from pykyro.backup.archive.record import LogSegment
from pykyro.backup.directory_swap import clear_directory, remove_tree, require_not_mounted, swap_directories
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan
from pykyro.model.errors import DataDamaged, FailedPrecondition, ResourceExhausted
from pykyro.model.types import BytesLike
from pykyro.storage import filename as data_filename
from pykyro.storage.files.filesystem import FileSystem, Lock, write_new_file
from pykyro.storage.files.lock import lock_directory, make_directories
from pykyro.storage.manifest import Branch, Manifest, WalEntry, write_manifest
from pykyro.storage.verify import verify_directory
from pykyro.system.clock import Clock

STAGING_SUFFIX: Final = ".restoring"
_SPARE_BYTES: Final = 1 << 20

Step = Callable[[int], None]


def no_step(size_bytes: int) -> None:
    """Progress that is not shown."""


@dataclass(slots=True)
class RestoreReport:
    """The restored state, or the one that a restore would make. `replaced` are the names that the directory held
    before; `leftover` is where it still is, if it could not be removed."""

    lsn: int
    size_bytes: int
    archives: list[str]
    replaced: list[str] = field(default_factory=list)
    leftover: Path | None = None


def describe_restore(filesystem: FileSystem, data_dir: Path, plan: RestorePlan) -> RestoreReport:
    """A preview of `restore`; changes nothing. Raises what a restore is refused with before it begins:
    FailedPrecondition for the root of a mounted file system, DataDirInUse; OSError."""
    require_not_mounted(data_dir)
    names = filesystem.names(data_dir) if filesystem.exists(data_dir) else []
    if data_filename.LOCK in names:
        lock_directory(filesystem, data_dir).release()
    return _report(plan, names)


def restore(
    filesystem: FileSystem,
    data_dir: Path,
    store: Store,
    plan: RestorePlan,
    clock: Clock,
    *,
    allow_clear: bool,
    step: Step = no_step,
    beside: Callable[[Path], None] | None = None,
) -> RestoreReport:
    """Make `data_dir`, an absolute path, the database that `plan` describes.

    `beside` is called with the new directory before it takes the place of the old one, `step` with the size of each
    piece that was written. Raises FailedPrecondition when the directory holds files and `allow_clear` is off or is
    the root of a mounted file system, DataDirInUse, DataDamaged, ResourceExhausted, OSError; then the directory is as
    it was.
    """
    require_not_mounted(data_dir)
    make_directories(filesystem, data_dir.parent)
    with contextlib.ExitStack() as cleanup:
        held = _take(filesystem, data_dir, allow_clear)
        if held is not None:
            cleanup.callback(held.release)
        staging = data_dir.with_name(data_dir.name + STAGING_SUFFIX)
        filesystem.make_directory(staging)
        cleanup.callback(lock_directory(filesystem, staging).release)
        clear_directory(filesystem, staging, keep=data_filename.LOCK)
        try:
            _require_space(filesystem, data_dir, plan)
            _Staging(filesystem, staging, store, plan, step).fill(clock)
            _prove(filesystem, staging, plan)
            if beside is not None:
                beside(staging)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(filesystem, staging)
            raise
        replaced = filesystem.names(data_dir) if held is not None else []
        report = _report(plan, replaced)
        report.leftover = swap_directories(filesystem, staging, data_dir)
        return report


def _report(plan: RestorePlan, names: Iterable[str]) -> RestoreReport:
    return RestoreReport(
        plan.lsn, plan.size_bytes, plan.archives, [name for name in names if name != data_filename.LOCK]
    )


def _take(filesystem: FileSystem, data_dir: Path, allow_clear: bool) -> Lock | None:
    """The lock of the directory that is to be replaced; None when there is none."""
    if not filesystem.exists(data_dir):
        return None
    lock = lock_directory(filesystem, data_dir)
    try:
        names = [name for name in filesystem.names(data_dir) if name != data_filename.LOCK]
        if names and not allow_clear:
            raise FailedPrecondition(
                f"Data directory clear requires explicit confirmation: {data_dir} holds {len(names)} files or "
                f"directories, which a restore deletes. Set BACKUP_ALLOW_CLEAR=true, or choose another --data-dir"
            )
    except BaseException:
        lock.release()
        raise
    return lock


def _require_space(filesystem: FileSystem, data_dir: Path, plan: RestorePlan) -> None:
    free, _ = filesystem.free_bytes(data_dir.parent)
    if free < plan.size_bytes + _SPARE_BYTES:
        raise ResourceExhausted(
            f"the restore needs {plan.size_bytes} bytes beside {data_dir}, {free} are free. The present directory "
            f"stays until the new one is proved; free space, or move it away first"
        )


class _Staging:
    """The new directory while it is filled."""

    def __init__(
        self, filesystem: FileSystem, directory: Path, store: Store, plan: RestorePlan, step: Step
    ) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._store = store
        self._plan = plan
        self._step = step

    def fill(self, clock: Clock) -> None:
        base = self._store.manifest(self._plan.base)
        latest = self._store.manifest(self._plan.latest)
        for file in self._plan.base.files:
            if file.manifest_digest:
                self._write(file.name, self._store.file(file))
        for file in self._plan.latest.files:
            if file.name in filename.BESIDE_MANIFEST:
                self._write(file.name, self._store.file(file))
        wal = tuple(self._write_log(segment) for segment in self._plan.log)
        # This syncs the directory, so the names of all files are durable with it.
        write_manifest(self._filesystem, self._directory, self._manifest(base, latest, wal, clock))

    def _write_log(self, segment: LogSegment) -> WalEntry:
        """Write a WAL segment, up to the position if that lies in it."""
        last_lsn, end_offset = segment.last_lsn, segment.end_offset
        if last_lsn <= self._plan.lsn:
            self._write(segment.name, self._store.log(segment))
        else:
            whole = self._store.assemble(segment)
            last = max(
                (f for f in whole.contents.frames if f.lsn <= self._plan.lsn), key=lambda frame: frame.lsn
            )
            last_lsn, end_offset = last.lsn, last.end_offset
            self._write(segment.name, [whole.data[:end_offset]])
        return WalEntry(
            name=segment.name, base_lsn=segment.base_lsn, last_lsn=last_lsn, end_offset=end_offset
        )

    def _manifest(
        self, base: Manifest, latest: Manifest, wal: tuple[WalEntry, ...], clock: Clock
    ) -> Manifest:
        names = [entry.name for entry in wal]
        number = max(base.next_number, latest.next_number, data_filename.largest_number(names) + 1)
        return base.as_restored().model_copy(
            update={
                "wal": wal,
                # A tenant that came later has documents in the log perhaps, and must keep its number in any case.
                "tenants": base.tenants | latest.tenants,
                "has_types": base.has_types or latest.has_types,
                "has_expiry": base.has_expiry or latest.has_expiry,
                "has_merges": base.has_merges or latest.has_merges,
                "has_keys": base.has_keys or latest.has_keys,
                "history": uuid4().hex,
                "branched_from": Branch(history=self._plan.latest.history, lsn=self._plan.lsn),
                "next_number": number,
                "updated_us": clock.wall_us(),
            }
        )

    def _write(self, name: str, chunks: Iterable[BytesLike]) -> None:
        write_new_file(self._filesystem, self._directory / name, self._stepping(chunks))

    def _stepping(self, chunks: Iterable[BytesLike]) -> Iterator[BytesLike]:
        for chunk in chunks:
            yield chunk
            self._step(len(chunk))  # the next is asked for once this one is written


def _prove(filesystem: FileSystem, staging: Path, plan: RestorePlan) -> None:
    report = verify_directory(filesystem, staging)
    if report.damage:
        raise DataDamaged(f"the restored directory is damaged: {report.damage[0]}", path=staging)
    if report.last_lsn != plan.lsn:
        raise DataDamaged(
            f"the restored directory ends at position {report.last_lsn}; position {plan.lsn} was expected",
            path=staging,
        )
