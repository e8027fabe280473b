"""What there is to ship of one collection: read from its directory, as a reader in another process would, so that no
write waits for it."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.records import (
    CollectionState,
    LogPiece,
    StoredFile,
    piece_name,
    segment_name,
)
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.watched_file import WatchedFile
from pykyro.storage.manifest import (
    FileEntry,
    Manifest,
    WalEntry,
    decode_manifest,
    encode_manifest,
    require_local,
)
from pykyro.storage.position_file import PositionReader
from pykyro.storage.wal.reader import scan_segment
from pykyro.storage.wal.retention import is_sealed

PIECE_BYTES: Final = 16 << 20
_HASHED_TOGETHER: Final = 8 << 20


@dataclass(slots=True)
class Shipment:
    """What one round found and uploaded, and no commit names yet. `state` is None when nothing but the log has
    grown."""

    seen: bytes = b""
    position: LSN = 0
    pieces: list[LogPiece] = field(default_factory=list)
    """The new ones."""
    log: dict[str, list[LogPiece]] = field(default_factory=dict)
    """All pieces of each log segment that is not sealed, the new ones included."""
    state: CollectionState | None = None
    shown: Manifest | None = None

    @property
    def all_pieces(self) -> tuple[LogPiece, ...]:
        return tuple(piece for pieces in self.log.values() for piece in pieces)

    @property
    def size_bytes(self) -> int:
        return sum(piece.end - piece.start for piece in self.pieces)


class CollectionLog:
    """Knows what of a collection is shipped. One thread calls it."""

    def __init__(
        self, filesystem: FileSystem, directory: Path, store: ArchiveStore, known: CollectionState | None
    ) -> None:
        """`known` is what the archive has of it. Raises FileNotFoundError when no collection is there, OSError,
        DataDamaged, FailedPrecondition when its sealed documents are elsewhere."""
        self._filesystem = filesystem
        self._directory = directory
        self._store = store
        self._path = directory / filename.MANIFEST
        self._position = PositionReader(filesystem, directory)
        self._watched = WatchedFile(filesystem, self._path)
        self._manifest: Manifest = decode_manifest(self._watched.content(), self._path)
        require_local(self._manifest, directory, "an archive")
        self._position.refresh()
        self._files: dict[str, tuple[FileEntry, StoredFile]] = {}
        if known is not None:
            # They need not be read again to know their names in the archive.
            entries = decode_manifest(known.manifest.encode(), self._path).files
            self._files = {
                one.name: (one, known.files[one.name]) for one in entries if one.name in known.files
            }
        self._log: dict[str, list[LogPiece]] = {}
        self._seen: bytes | None = None
        self._shown: Manifest | None = None
        self.state: CollectionState | None = None
        """As it was shipped last with a state, without the pieces since."""
        self.position: LSN = 0
        """Up to which everything is shipped."""

    @property
    def has_news(self) -> bool:
        """Whether there may be something to ship."""
        return self._watched.is_replaced or self._position.raw() != self._seen

    @property
    def whole_state(self) -> CollectionState | None:
        """What is shipped in all."""
        if self.state is None:
            return None
        log = tuple(piece for pieces in self._log.values() for piece in pieces)
        return self.state.model_copy(update={"log": log})

    def gather(self, epoch: int) -> Shipment:
        """Upload what is there and not shipped. Raises FileNotFoundError when the writer went on meanwhile, OSError,
        DataDamaged."""
        shipment = Shipment()
        while True:
            shipment.seen, published = self._position.raw(), self._position.read()
            if not self._watched.is_replaced:
                break
            self._manifest = decode_manifest(self._watched.content(), self._path)
            self._position.refresh()
        manifest, entries = self._manifest, list[WalEntry]()
        shipment.position = manifest.sealed_lsn
        for entry in manifest.wal:
            if is_sealed(entry, manifest.sealed_lsn):
                continue
            limit, last = entry.end_offset or 0, entry.last_lsn
            if last is None and published is None:
                limit, last = self._whole_frames(entry)
            elif last is None:
                is_named = published is not None and published.segment == entry.name
                limit, last = (published.offset, published.lsn) if published and is_named else (0, 0)
            if pieces := self._upload_log(shipment, entry, limit, last, epoch):
                shipment.log[entry.name] = pieces
                shipment.position = max(shipment.position, pieces[-1].last)
                entries.append(entry)
        shown = manifest.model_copy(update={"wal": tuple(entries), "updated_us": 0, "next_number": 0})
        if shown != self._shown:
            shipment.shown = shown
            shipment.state = CollectionState(
                manifest=encode_manifest(manifest.model_copy(update={"wal": tuple(entries)})).decode(),
                files={file.name: self._uploaded(file) for file in manifest.files},
                log=shipment.all_pieces,
            )
        return shipment

    def shipped(self, shipment: Shipment) -> None:
        """A commit holds this shipment."""
        self._log = shipment.log
        self.position = max(self.position, shipment.position)
        if shipment.state is not None:
            self.state, self._shown = shipment.state, shipment.shown
            self._files = {name: self._files[name] for name in shipment.state.files}
        self._seen = shipment.seen

    def _whole_frames(self, entry: WalEntry) -> tuple[int, LSN]:
        """How far an open segment goes of a collection that nobody has opened since the machine started."""
        path = self._directory / entry.name
        contents = scan_segment(self._filesystem.map(path), path, lambda frame: None)
        return contents.end_offset, contents.last_lsn

    def _upload_log(
        self, shipment: Shipment, entry: WalEntry, limit: int, last: LSN, epoch: int
    ) -> list[LogPiece]:
        """All pieces of a log segment up to offset `limit`, those that are new uploaded."""
        pieces = list(self._log.get(entry.name, ()))
        start = pieces[-1].end if pieces else 0
        if limit <= start:
            return pieces
        data = self._filesystem.map(self._directory / entry.name)
        if len(data) < limit:
            raise DataDamaged(
                f"segment has {len(data)} bytes, {limit} are accepted", path=self._directory / entry.name
            )
        while start < limit:
            end = min(limit, start + PIECE_BYTES)
            content = bytes(data[start:end])
            sha256 = hashlib.sha256(content).hexdigest()
            reached = last if end == limit else max(shipment.position, entry.base_lsn - 1)
            piece = LogPiece(
                object=piece_name(epoch, entry.base_lsn, reached, sha256),
                sha256=sha256,
                wal=entry.name,
                start=start,
                end=end,
                last=reached,
            )
            with contextlib.suppress(FileExistsError):
                self._store.create(piece.object, content)
            shipment.pieces.append(piece)
            pieces.append(piece)
            start = end
        return pieces

    def _uploaded(self, file: FileEntry) -> StoredFile:
        """The file in the archive, uploaded unless it is there."""
        known = self._files.get(file.name)
        if known is not None and known[0] == file:
            return known[1]
        path = self._directory / file.name
        data, sha256 = self._filesystem.map(path), hashlib.sha256()
        for start in range(0, len(data), _HASHED_TOGETHER):
            sha256.update(data[start : start + _HASHED_TOGETHER])
        if len(data) != file.size_bytes:
            raise DataDamaged(f"has {len(data)} bytes, {file.size_bytes} are expected", path=path)
        stored = StoredFile(sha256=sha256.hexdigest(), size_bytes=len(data))
        if not self._store.exists(segment_name(stored.sha256)):
            self._store.upload(segment_name(stored.sha256), path)
        self._files[file.name] = file, stored
        return stored
