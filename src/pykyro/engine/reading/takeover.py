"""A reader takes over what the writer sealed or merged, while it is at a position behind that."""

from __future__ import annotations

from bisect import bisect_right

from pykyro.engine.context import EngineContext
from pykyro.engine.reading.rebuilding import Unsealed, same_files
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.model.types import LSN
from pykyro.storage.manifest import Manifest


def take_over(context: EngineContext, manifest: Manifest, unsealed: Unsealed) -> bool:
    """Let the segments of `manifest` take the place of the tiers that hold the same documents; False when there are
    no such tiers, and nothing has changed. For the one thread that applies the log.

    Raises FileNotFoundError when the writer went on, DataDamaged, OSError.
    """
    state, sealed_lsn = context.state, manifest.sealed_lsn
    if sealed_lsn > state.position or not _ends_a_tier(sealed_lsn, unsealed):
        return False
    known = {segment.entry.number: segment for segment in state.version.cold}
    # Files are opened and proved before anybody has to wait.
    cold: list[ColdSegment] = []
    arriving = []
    for entry in manifest.segments:
        segment = known.get(entry.number)
        if segment is None or not same_files(segment.entry, entry):
            segment = open_segment(
                context.filesystem,
                context.directory,
                entry,
                context.options.metric,
                memory=context.memory,
                covers=sealed_lsn,
            )
            arriving.append(segment)
        cold.append(segment)
    with context.lock:
        touched = [key for lsn, key in unsealed.touched if lsn > sealed_lsn]
        for segment in arriving:
            for key in touched:
                row = segment.lookup(key)
                if row is not None:
                    segment.delete(row)
            if state.may_expire:
                # Those are out of the other tiers already.
                for row, _ in list(segment.due(0, state.expires_from_us - 1)):
                    segment.delete(row)
        for entry, segment in zip(manifest.segments, cold, strict=True):
            segment.entry = entry
        unsealed.forget(sealed_lsn)
        state.swap(cold, [tier for _, tier in unsealed.frozen])
        context.manifests.current = manifest
    context.caches.release_tiers()
    return True


def _ends_a_tier(sealed_lsn: LSN, unsealed: Unsealed) -> bool:
    """Whether each row up to the sealed position is in a segment, or in a frozen tier with nothing behind it."""
    ends = [lsn for lsn, _ in unsealed.frozen]
    at = bisect_right(ends, sealed_lsn)
    if at and ends[at - 1] == sealed_lsn:
        return True
    # Nothing was written behind the sealed position before but what the next tiers hold.
    first = unsealed.touched[0][0] if unsealed.touched else None
    return at == 0 and (first is None or first > sealed_lsn)
