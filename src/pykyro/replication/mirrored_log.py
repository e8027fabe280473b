"""The log of one collection in a mirror: pieces are proved and put where they stood at the leader's."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.records import LogPiece
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, NoteFile, WritableFile, write_all
from pykyro.storage.manifest import Manifest
from pykyro.storage.position_file import encode_position, head_of
from pykyro.storage.wal.reader import scan_segment

_HINT = "Restore the object in the archive, or start a new archive at another URL"


@dataclass(slots=True)
class _OpenSegment:
    file: WritableFile
    end: int
    last: LSN = 0
    is_placed: bool = False
    """Whether it stands under its name; what stood there before stays until it is whole."""


class MirroredLog:
    """One thread at a time calls it."""

    def __init__(self, filesystem: FileSystem, directory: Path, *, anew: bool = False) -> None:
        """With `anew` nothing that is here is continued."""
        self._anew = anew
        self._filesystem = filesystem
        self._directory = directory
        self._segments: dict[str, _OpenSegment] = {}
        self._note: NoteFile | None = None
        self.manifest: Manifest | None = None
        """As it stands in the directory."""

    @property
    def position(self) -> LSN:
        """Up to where the log is here."""
        sealed = 0 if self.manifest is None else self.manifest.sealed_lsn
        return max([sealed, *(segment.last for segment in self._segments.values())])

    def append(self, pieces: Iterable[LogPiece], store: ArchiveStore) -> None:
        """Bring these pieces here, those that are not. Raises DataDamaged, OSError."""
        for piece in pieces:
            if not filename.is_log_file(piece.wal):
                raise DataDamaged(
                    f"names {piece.wal!r}, which is no log segment", path=store.location, hint=_HINT
                )
            segment = self._segments.get(piece.wal)
            if segment is None:
                segment = self._segments[piece.wal] = self._continued(piece.wal)
            if piece.start > segment.end:
                raise DataDamaged(
                    f"bytes {segment.end} to {piece.start} of {piece.wal} are in no piece",
                    path=store.location,
                    hint=_HINT,
                )
            if piece.end > segment.end:
                place = f"{store.location}/{piece.object}"
                data = store.read(piece.object)
                if len(data) != piece.end - piece.start or hashlib.sha256(data).hexdigest() != piece.sha256:
                    raise DataDamaged("its content does not match its name", path=place, hint=_HINT)
                write_all(segment.file, data[segment.end - piece.start :])
                segment.end = piece.end
            segment.last = max(segment.last, piece.last)

    def sync(self) -> None:
        """Make it durable, under the names of the segments. Raises OSError."""
        for name, segment in self._segments.items():
            segment.file.sync()
            if not segment.is_placed:
                path = self._directory / name
                self._filesystem.replace(self._directory / filename.temporary(name), path)
                segment.is_placed = True

    def adopt(self, manifest: Manifest) -> None:
        """This MANIFEST stands in the directory now; segments it does not name are not continued."""
        self.manifest = manifest
        names = {entry.name for entry in manifest.wal}
        for name in self._segments.keys() - names:
            self._segments.pop(name).file.close()

    def publish(self) -> None:
        """Let readers read what is here. Raises OSError."""
        if self.manifest is None or not self.manifest.wal:
            return
        entry = self.manifest.wal[-1]
        segment = self._segments.get(entry.name)
        if entry.last_lsn is not None or segment is None:
            return
        if self._note is None:
            self._note = self._filesystem.open_note(self._directory / filename.POSITION)
        head = head_of(self._filesystem, self._directory)
        number = filename.largest_number([entry.name])
        self._note.put(encode_position(head, number, segment.end, segment.last))

    def close(self) -> None:
        for segment in self._segments.values():
            segment.file.close()
        self._segments.clear()
        if self._note is not None:
            self._note.close()

    def _continued(self, name: str) -> _OpenSegment:
        """The segment as far as it is here whole, to be appended to: a copy, for none is opened for writing twice."""
        path, temporary = self._directory / name, self._directory / filename.temporary(name)
        content = memoryview(b"")
        with contextlib.suppress(FileNotFoundError, DataDamaged):
            data = memoryview(b"") if self._anew else self._filesystem.map(path)
            content = data[: scan_segment(data, path, lambda frame: None).end_offset]
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.remove(temporary)
        file = self._filesystem.create(temporary)
        try:
            write_all(file, content)
        except BaseException:
            file.close()
            raise
        return _OpenSegment(file, len(content))
