"""Many empty log segments become few.

Earlier versions left a segment that holds nothing but its SEAL at every opening without a write. Such a run is
written anew as one segment, and so is what follows it, for each segment names the checksum of the frame before it.
Positions, times and contents stay, so backups that were made before are continued.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import WalEntry
from pykyro.storage.manifest_store import ManifestStore
from pykyro.storage.wal.format import PROBE, SEAL, SEAL_CONTENT, SEGMENT_HEADER, SegmentHeader
from pykyro.storage.wal.reader import SegmentContents, read_segment
from pykyro.storage.wal.writer import PendingFrame, WalPosition, WalWriter, encode_frame

EMPTY_SEGMENTS_MAX: Final = 8
"""So many may stay: a clean stop right after a rotation leaves one, too."""
_EMPTY_BYTES: Final = SEGMENT_HEADER.size + len(
    encode_frame(0, 1, 0, 0, SEAL, SEAL_CONTENT.pack(0), synced=True)[0]
)


def tidy_log(
    filesystem: FileSystem, directory: Path, manifests: ManifestStore, end: WalPosition
) -> WalPosition:
    """Write the log anew from its first empty segment on, if there are too many; where it ends now.

    All segments must be closed and proved, `end` is where they end. Raises DataDamaged, OSError.
    """
    entries = manifests.current.wal
    empty = [at for at, entry in enumerate(entries) if _looks_empty(entry)]
    if len(empty) <= EMPTY_SEGMENTS_MAX:
        return end
    copying = entries[empty[0] :]
    if not all(filesystem.exists(directory / entry.name) for entry in copying):
        return end
    written: list[WalEntry] = []
    previous: int | None = None
    for run in _runs(filesystem, directory, copying):
        end = _write(filesystem, directory, manifests, run, previous, written)
        previous = end.checksum
    manifests.update(
        lambda manifest: manifest.model_copy(update={"wal": entries[: empty[0]] + tuple(written)})
    )
    return end


def _looks_empty(entry: WalEntry) -> bool:
    return entry.last_lsn == entry.base_lsn and entry.end_offset == _EMPTY_BYTES


def _runs(
    filesystem: FileSystem, directory: Path, entries: Sequence[WalEntry]
) -> Iterator[list[SegmentContents]]:
    """Empty segments of one opening that follow each other; each of the others for itself."""
    for empty, group in groupby(entries, _looks_empty):
        contents = (
            read_segment(
                filesystem.read(directory / entry.name), directory / entry.name, end_offset=entry.end_offset
            )
            for entry in group
        )
        if empty:
            for _, of_opening in groupby(contents, lambda segment: segment.header.epoch):
                yield list(of_opening)
        else:
            yield from ([one] for one in contents)


def _write(
    filesystem: FileSystem,
    directory: Path,
    manifests: ManifestStore,
    run: Sequence[SegmentContents],
    previous: int | None,
    written: list[WalEntry],
) -> WalPosition:
    first = run[0].header
    header = SegmentHeader(
        first.base_lsn,
        first.previous if previous is None else previous,
        first.created_us,
        os.urandom(16),
        first.epoch,
    )
    frames = [frame for contents in run for frame in contents.frames]
    writer = WalWriter(filesystem, directory, manifests.take_number(), header)
    try:
        writer.append(
            [
                # A SEAL ends a segment, so within one something else has to hold its position.
                PendingFrame(PROBE, b"", frame.wall_us)
                if frame.kind == SEAL and frame is not frames[-1]
                else PendingFrame(frame.kind, frame.content, frame.wall_us)
                for frame in frames
            ]
        )
        writer.sync(data_only=False)
    finally:
        writer.close()
    end = writer.synced
    written.append(
        WalEntry(name=writer.name, base_lsn=writer.base_lsn, last_lsn=end.lsn, end_offset=end.offset)
    )
    return WalPosition(end.lsn, end.checksum, 0, end.time_us)
