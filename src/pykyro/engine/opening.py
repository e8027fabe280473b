"""From a data directory to the parts of an open engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pykyro.engine.caches import Caches
from pykyro.engine.context import EngineContext, SegmentContext
from pykyro.engine.maintenance.builder import Builder
from pykyro.engine.maintenance.tier_sealing import TierSealing, freeze, sealing_of
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions, RecallOptions
from pykyro.engine.state import State
from pykyro.engine.text_ids import TextKeys
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.engine.write_path import WritePath
from pykyro.index.words.analyser import Analyser
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import LSN
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.legacy_tenants import read_legacy_tenants
from pykyro.storage.manifest import Manifest
from pykyro.storage.move_note import unfinished_move
from pykyro.storage.recovery import Recovery, RecoveryReport, cold_tier_of
from pykyro.storage.request_keys import Acknowledged, read_request_keys
from pykyro.system.clock import Clock

if TYPE_CHECKING:
    from pykyro.engine.remote.remote import Remote
    from pykyro.engine.remote.remote_tier import RemoteTier


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
        cold_tier=options.cold_tier,
        words=options.words,
    )
    options = replace(
        options,
        text_ids=recovery.manifest.text_ids is not None,
        cold_tier=cold_tier_of(recovery.manifest),
        words=recovery.manifest.words_config,
    )
    remote, tier = None, None
    if recovery.manifest.remote is not None:
        try:
            from pykyro.engine.remote.remote import open_remote  # which knows psycopg
        except ImportError as error:
            raise FailedPrecondition(
                f"{directory} has its sealed documents in PostgreSQL, which needs psycopg: pip install "
                f"'pykyro[postgres]' ({error})"
            ) from error

        # What watches recall searches exactly again, which here would be work for others.
        options = replace(options, recall=RecallOptions())
        memory.bound_hot_tier(options.remote.backlog_bytes_max)
        remote, tier = open_remote(filesystem, directory, options, recovery.manifests, memory)
    try:
        return _recovered(filesystem, directory, options, clock, builder, memory, recovery, remote, tier)
    except BaseException:
        if remote is not None:
            remote.close()
        raise


def _recovered(
    filesystem: FileSystem,
    directory: Path,
    options: EngineOptions,
    clock: Clock,
    builder: Builder,
    memory: EngineMemory,
    recovery: Recovery,
    remote: Remote | None,
    tier: RemoteTier | None,
) -> tuple[EngineContext, RecoveryReport]:
    if not recovery.manifest.tenants and (legacy := read_legacy_tenants(filesystem, directory)):
        recovery.manifests.update(lambda manifest: manifest.model_copy(update={"tenants": legacy}))
    manifest = recovery.manifest
    segments = [
        open_segment(filesystem, directory, entry, options.metric, memory=memory, covers=manifest.sealed_lsn)
        for entry in manifest.segments
    ]
    state = state_of(manifest, segments, options, memory, tier)
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
        remote=remote,
    )
    if remote is not None:
        # The log is proved to its end before any of it is sealed.
        remote.claim.log_position = lambda: recovery.report.last_lsn
    replay(recovery, segment_context)
    log = recovery.start_log(options.log)
    state.position = log.position
    disk = DiskSpace(filesystem, directory, clock)
    caches = Caches(options, state, clock, memory)
    if told := unfinished_move(filesystem, directory, manifest):
        recovery.report.warnings.append(told)
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
        remote=remote,
        caches=caches,
        builder=builder,
        disk=disk,
        memory=memory,
    )
    context.writes.capacity.look(state.documents)
    if remote is not None:
        remote.enter(lambda: state.position)
        writes.follow(remote)
    return context, recovery.report


def replay(recovery: Recovery, context: SegmentContext) -> None:
    """Carry out what the log holds, which may be more than memory: then it is sealed piece by piece.

    Raises DataDamaged, BuildFailed, OSError.
    """
    state, memory = context.state, context.memory
    sealing, seals = sealing_of(context), 0
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


def state_of(
    manifest: Manifest,
    segments: Sequence[ColdSegment],
    options: EngineOptions,
    memory: EngineMemory,
    remote: RemoteTier | None = None,
) -> State:
    """What stands at the sealed position of `manifest`, in its segments and in `remote`."""
    words = manifest.words_config
    state = State(
        manifest.dimension,
        manifest.metric,
        segments,
        manifest.sealed_lsn,
        memory,
        typed_values=options.typed_values,
        may_expire=manifest.has_expiry,
        texts=None if manifest.text_ids is None else TextKeys(bytes.fromhex(manifest.text_ids)),
        remote=remote,
        words=None if words is None else CollectionWords(words, Analyser(words)),
    )
    state.tenants.count(manifest.tenants.values(), state.version.sealed)
    return state
