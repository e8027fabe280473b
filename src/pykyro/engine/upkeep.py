"""What is done to an open database as a whole, when somebody asks: compactions and snapshots."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Final

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.maintenance import Maintenance
from pykyro.engine.maintenance.merging import Progress
from pykyro.model.errors import ResourceExhausted
from pykyro.model.requests import CompactionReport, SnapshotReport
from pykyro.storage.snapshot import link_snapshot, prune_snapshots, unused_name

_BUILD_LOOK_S: Final = 0.02
"""A compaction looks so often whether the process that builds its graph is done."""


def compact(
    context: EngineContext, maintenance: Maintenance, call: Callable[[Callable[[], object]], object]
) -> CompactionReport:
    """See Engine.compact. Each step is done by `call`, so that others that use it need not wait for the end."""
    started, before = time.perf_counter(), context.manifests.current
    call(maintenance.flush)
    while (progress := call(maintenance.compact)) is not Progress.DONE:
        if progress is Progress.WAITS:
            time.sleep(_BUILD_LOOK_S)
    after = context.manifests.current
    return CompactionReport(
        documents=context.state.documents,
        segments_before=len(before.segments),
        segments=len(after.segments),
        bytes_before=before.segment_bytes,
        bytes=after.segment_bytes,
        duration_s=time.perf_counter() - started,
    )


def take_snapshot(context: EngineContext, maintenance: Maintenance) -> SnapshotReport:
    """See Engine.snapshot."""
    if refusal := context.disk.room().refusal:
        raise ResourceExhausted(refusal)
    stamp = datetime.datetime.fromtimestamp(context.clock.wall_us() / 1e6, datetime.UTC)
    with maintenance.lock:
        maintenance.flush()
        with context.writes.lock:
            if not context.log.segment_empty:
                context.state.position = context.log.rotate()
            manifest, documents = context.manifests.current.as_restored(), context.state.documents
            position = context.state.position
        try:
            name = unused_name(context.filesystem, context.directory, f"{stamp:%Y%m%dT%H%M%SZ}")
            linked = link_snapshot(context.filesystem, context.directory, manifest, name)
            kept = context.options.snapshots_kept
            prune_snapshots(context.filesystem, context.directory, newest=name, kept=kept)
        except OSError as error:
            raise context.write_failed(error, "snapshot") from error
    return SnapshotReport(str(linked.path), documents, linked.size_bytes, position)
