"""Opening a directory for reading alone, beside the process that writes it or without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pykyro.engine.caches import Caches
from pykyro.engine.context import EngineContext
from pykyro.engine.engine import Engine
from pykyro.engine.maintenance.process_builder import ProcessBuilder
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.reading.following import Following
from pykyro.engine.reading.rebuilding import READING, rebuilt
from pykyro.engine.reading.unwritten import NoLock, UnwrittenLog, UnwrittenManifests
from pykyro.engine.write_path import WritePath
from pykyro.memory.budget import MemoryBudget
from pykyro.storage import filename
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.files.lock import owner_of
from pykyro.storage.files.opening_errors import opening_error
from pykyro.storage.manifest import read_manifest, require_local
from pykyro.storage.recovery import RecoveryReport, require_id_type, require_identity, require_words
from pykyro.system.clock import Clock, SystemClock
from pykyro.system.job_thread import JobThreads


def open_reader(
    path: Path | str,
    options: EngineOptions,
    *,
    database: Path | None = None,
    filesystem: FileSystem | None = None,
    clock: Clock | None = None,
    memory: MemoryBudget | None = None,
    threads: JobThreads | None = None,
    refusal: Callable[[], str] | None = None,
) -> Engine:
    """An engine that shows what stands in directory `path` and follows whoever writes it.

    It takes no lock and writes nothing; all that writes raises FailedPrecondition with what `refusal` says, if it is
    given. `database` is the directory of the database that the collection in `path` is of, where they differ.

    Raises DataDamaged, DataDirMismatch, and StorageError for what else the disk refuses.
    """
    filesystem, directory = filesystem or LocalFileSystem(), Path(path).absolute()
    try:
        return _opened(
            filesystem,
            directory,
            options,
            refusal or partial(refusal_of_reader, database or directory),
            clock or SystemClock(),
            EngineMemory(memory, options),
            threads,
        )
    except OSError as error:
        raise opening_error(error, directory) from error


def refusal_of_reader(database: Path) -> str:
    """What a write is told that comes to a reader."""
    owner = owner_of(database)
    where = (
        f"process {owner} has it open for writing: send writes to that process"
        if owner
        else "no process has it open for writing now: open it without read_only to write"
    )
    return f"{database} was opened with read_only=True, and {where}"


def _opened(
    filesystem: FileSystem,
    directory: Path,
    options: EngineOptions,
    refusal: Callable[[], str],
    clock: Clock,
    memory: EngineMemory,
    threads: JobThreads | None,
) -> Engine:
    manifest = read_manifest(filesystem, directory)
    require_identity(manifest, options.dimension, options.metric, directory / filename.MANIFEST)
    require_id_type(manifest, options.text_ids, directory / filename.MANIFEST)
    require_words(manifest, None, directory / filename.MANIFEST)
    require_local(manifest, directory, READING)
    options = replace(options, text_ids=manifest.text_ids is not None, words=manifest.words_config)
    state, feed, unsealed = rebuilt(filesystem, directory, options, memory, {}, None)

    log, disk = UnwrittenLog(clock, refusal), DiskSpace(filesystem, directory, clock)
    caches = Caches(options, state, clock, memory)
    writes = WritePath(options, log, state, disk, caches, clock, memory)
    writes.read_only = refusal
    writes.expiration.may_log = False
    context = EngineContext(
        filesystem=filesystem,
        directory=directory,
        clock=clock,
        options=options,
        manifests=UnwrittenManifests(filesystem, directory, clock, feed.manifest, refusal),
        log=log,
        state=state,
        writes=writes,
        lock=writes.lock,
        caches=caches,
        builder=ProcessBuilder(filesystem),
        disk=disk,
        memory=memory,
        remote=None,
    )
    report = RecoveryReport(sealed_lsn=feed.manifest.sealed_lsn, last_lsn=state.position)
    return Engine(context, NoLock(), report, threads, Following(context, feed, unsealed))
