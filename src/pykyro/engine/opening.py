"""From a data directory to the parts of an open engine."""

from __future__ import annotations

from pathlib import Path

from pykyro.engine.caches import Caches
from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.builder import Builder
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.engine.write_path import WritePath
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.legacy_tenants import read_legacy_tenants
from pykyro.storage.recovery import Recovery, RecoveryReport
from pykyro.system.clock import Clock


def recovered(
    filesystem: FileSystem, directory: Path, options: EngineOptions, clock: Clock, builder: Builder
) -> tuple[EngineContext, RecoveryReport]:
    """The parts of an engine over what the directory holds; the caller has its lock.

    Raises DataDamaged, DataDirMismatch, WriteFailed, OSError.
    """
    recovery = Recovery(filesystem, directory, clock, dimension=options.dimension, metric=options.metric)
    if not recovery.manifest.tenants and (legacy := read_legacy_tenants(filesystem, directory)):
        recovery.manifests.update(lambda manifest: manifest.model_copy(update={"tenants": legacy}))
    manifest = recovery.manifest
    segments = [
        open_segment(filesystem, directory, e, options.metric, mapped_graph=options.mapped_graphs)
        for e in manifest.segments
    ]
    state = State(options.dimension, options.metric, segments, manifest.sealed_lsn)
    state.tenants.count(manifest.tenants.values(), segments)
    for lsn, records in recovery.replay():
        state.replay(lsn, records, directory)
    log = recovery.start_log(options.log)
    state.position = log.position
    disk = DiskSpace(filesystem, directory, clock)
    caches = Caches(options, state, clock)
    context = EngineContext(
        filesystem=filesystem,
        directory=directory,
        clock=clock,
        options=options,
        manifests=recovery.manifests,
        log=log,
        state=state,
        writes=WritePath(options, log, state, disk, caches, clock),
        caches=caches,
        builder=builder,
        disk=disk,
    )
    context.writes.capacity.look(state.documents)
    return context, recovery.report
