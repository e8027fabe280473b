"""From a data directory to the parts of an open engine."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from pykyro.engine.caches import Caches
from pykyro.engine.context import EngineContext, SegmentContext
from pykyro.engine.maintenance.builder import Builder
from pykyro.engine.maintenance.tier_sealing import TierSealing, freeze
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.engine.text_ids import TextKeys
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.engine.write_path import WritePath
from pykyro.index.words.analyser import Analyser
from pykyro.model.types import LSN
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.legacy_tenants import read_legacy_tenants
from pykyro.storage.recovery import Recovery, RecoveryReport
from pykyro.storage.request_keys import Acknowledged, read_request_keys
from pykyro.system.clock import Clock


def recovered(
    filesystem: FileSystem,
    directory: Path,
    options: EngineOptions,
    clock: Clock,
    builder: Builder,
    memory: EngineMemory,
) -> tuple[EngineContext, RecoveryReport]:
    """The parts of an engine over what the directory holds; the caller has its lock.

    Raises DataDamaged, DataDirMismatch, WriteFailed, OSError.
    """
    recovery = Recovery(
        filesystem,
        directory,
        clock,
        dimension=options.dimension,
        metric=options.metric,
        text_ids=options.text_ids,
        words=options.words,
    )
    kept = recovery.manifest.words
    options = replace(
        options,
        text_ids=recovery.manifest.text_ids is not None,
        words=None if kept is None else kept.config,
    )
    if not recovery.manifest.tenants and (legacy := read_legacy_tenants(filesystem, directory)):
        recovery.manifests.update(lambda manifest: manifest.model_copy(update={"tenants": legacy}))
    manifest = recovery.manifest
    segments = [
        open_segment(filesystem, directory, entry, options.metric, memory=memory, covers=manifest.sealed_lsn)
        for entry in manifest.segments
    ]
    state = State(
        options.dimension,
        options.metric,
        segments,
        manifest.sealed_lsn,
        memory,
        typed_values=options.typed_values,
        may_expire=manifest.has_expiry,
        texts=None if manifest.text_ids is None else TextKeys(bytes.fromhex(manifest.text_ids)),
        words=None if options.words is None else CollectionWords(options.words, Analyser(options.words)),
    )
    state.tenants.count(manifest.tenants.values(), segments)
    if manifest.keys is not None:
        state.keys.load(read_request_keys(filesystem, directory, manifest.keys))
    segment_context = SegmentContext(
        filesystem=filesystem,
        directory=directory,
        options=options,
        manifests=recovery.manifests,
        state=state,
        builder=builder,
        memory=memory,
        lock=threading.RLock(),
    )
    replay(recovery, segment_context)
    log = recovery.start_log(options.log)
    state.position = log.position
    disk = DiskSpace(filesystem, directory, clock)
    caches = Caches(options, state, clock, memory)
    writes = WritePath(options, log, state, disk, caches, clock, memory)
    context = EngineContext(
        filesystem=filesystem,
        directory=directory,
        clock=clock,
        options=options,
        manifests=recovery.manifests,
        log=log,
        state=state,
        writes=writes,
        lock=writes.lock,
        caches=caches,
        builder=builder,
        disk=disk,
        memory=memory,
    )
    context.writes.capacity.look(state.documents)
    return context, recovery.report


def replay(recovery: Recovery, context: SegmentContext) -> None:
    """Carry out what the log holds, which may be more than memory: then it is sealed piece by piece.

    Raises DataDamaged, BuildFailed, OSError.
    """
    state, memory = context.state, context.memory
    sealing, seals = TierSealing(context), 0
    for lsn, records, keys in recovery.replay():
        state.replay(lsn, records, context.directory)
        state.keys.load(Acknowledged(lsn, key) for key in keys)
        active = state.version.active
        if active.size_bytes < active.charge_from:
            continue
        active.charge()
        memory.refresh(active.size_bytes)
        if memory.should_seal(active.size_bytes):
            recovery.secure_log()
            _seal(context, sealing, lsn)
            seals += 1
    if seals:
        # What is sealed should end where a segment of the log does, as ever.
        _seal(context, sealing, recovery.secure_log())


def _seal(context: SegmentContext, sealing: TierSealing, lsn: LSN) -> None:
    obsolete = sealing.seal(freeze(context.state, lsn), wal_retention_bytes=None)
    context.remove_files(obsolete)
