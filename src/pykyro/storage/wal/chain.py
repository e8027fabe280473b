"""The log as a whole: segments read in order, each proved to continue the one before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pykyro.model.errors import DataDamaged
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest, WalEntry
from pykyro.storage.wal.format import Frame
from pykyro.storage.wal.reader import SegmentContents, read_segment, scan_segment
from pykyro.storage.wal.records import KeyRecord, Record, decode_records

_HINT: Final = "Restore from a backup"


class WalChain:
    """Reads the WAL segments that a MANIFEST names, oldest first."""

    def __init__(self, filesystem: FileSystem, directory: Path, manifest: Manifest) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._manifest = manifest
        self._previous: SegmentContents | None = None

    def read(self, entry: WalEntry) -> SegmentContents:
        """The next segment. Raises DataDamaged when it is not whole or a frame is missing before it, OSError."""
        path = self._directory / entry.name
        previous, self._previous = self._previous, None
        contents = read_segment(self._filesystem.read(path), path, end_offset=entry.end_offset)
        return self._proved(entry, contents, previous)

    def scan(self, entry: WalEntry, data: memoryview, seen: Callable[[Frame], None]) -> SegmentContents:
        """`read` in little memory: of the bytes of the segment, which may be mapped, `seen` is given each frame, and
        what is returned has none."""
        previous, self._previous = self._previous, None
        path = self._directory / entry.name
        return self._proved(entry, scan_segment(data, path, seen, end_offset=entry.end_offset), previous)

    def _proved(
        self, entry: WalEntry, contents: SegmentContents, previous: SegmentContents | None
    ) -> SegmentContents:
        path = self._directory / entry.name
        if contents.header.base_lsn != entry.base_lsn:
            raise DataDamaged(
                f"segment starts at position {contents.header.base_lsn}, the manifest says {entry.base_lsn}",
                path=path,
                hint=_HINT,
            )
        if entry.last_lsn is not None and contents.last_lsn != entry.last_lsn:
            raise DataDamaged(
                f"segment ends at position {contents.last_lsn}, the manifest says {entry.last_lsn}",
                path=path,
                offset=contents.end_offset,
                hint=_HINT,
            )
        if entry.last_lsn is None and entry is not self._manifest.wal[-1]:
            raise DataDamaged("an open segment is followed by another", path=path, hint=_HINT)
        self._require_continuation(path, contents, previous)
        self._previous = contents
        return contents

    def decode(self, entry: WalEntry, frame: Frame, keys: list[KeyRecord] | None = None) -> list[Record]:
        """The records of one operation frame of the segment, as decode_records says. Raises DataDamaged."""
        try:
            return decode_records(frame.content, tenanted=bool(self._manifest.tenants), keys=keys)
        except ValueError as error:
            path = self._directory / entry.name
            raise DataDamaged(str(error), path=path, offset=frame.offset, hint=_HINT) from None

    def _require_continuation(
        self, path: Path, contents: SegmentContents, previous: SegmentContents | None
    ) -> None:
        base, sealed = contents.header.base_lsn, self._manifest.sealed_lsn
        if previous is None:
            if base > sealed + 1:
                raise DataDamaged(
                    f"the log starts at position {base}, what comes before it ends at {sealed}",
                    path=path,
                    hint=_HINT,
                )
        elif (base, contents.header.previous) != (previous.last_lsn + 1, previous.last_checksum):
            raise DataDamaged(
                f"segment does not continue position {previous.last_lsn}", path=path, offset=0, hint=_HINT
            )
