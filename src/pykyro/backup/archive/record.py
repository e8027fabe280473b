"""The record of a backup: BACKUP.json in its archive, repeated in its label in the catalog.

A backup describes a whole state of the database: the cold segments at the sealed position, and the log from
there to the backup's own position. Where its bytes are is a second matter: each file and each piece of the log
names the archive that holds it, which is this backup's own or that of an earlier one.

The log may reach back further than the backup itself needs, to where the backup `continues` an earlier one. So
the earlier one can be rolled forward to any position in between (timeline.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pykyro.backup import filename
from pykyro.model.limits import BACKUP_DESCRIPTION_CHARS_MAX, DIMENSION_MAX
from pykyro.model.types import Metric
from pykyro.storage import filename as data_filename
from pykyro.storage.files.checksum import digest
from pykyro.storage.manifest import Branch
from pykyro.storage.wal.format import PROBE, SEAL, SEAL_CONTENT, Frame

FORMAT: Final = 1
_END: Final = b"}\n"
_SEAL: Final = b'{"digest": "%s", "record": %s' + _END

BackupId = Annotated[str, StringConstraints(pattern=filename.BACKUP_ID_PATTERN)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, lt=2**64, strict=True)]
_Checksum = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
_History = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
_SegmentName = Annotated[str, StringConstraints(pattern=rf"^{data_filename.WAL_PATTERN}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredFile(_Part):
    """A file of the database. `digest` is over all of its bytes; `manifest_digest` is what MANIFEST states of it,
    "" for a file that no MANIFEST names."""

    name: str
    size_bytes: Count
    digest: Digest
    manifest_digest: Digest | Literal[""]
    archive: BackupId

    @model_validator(mode="after")
    def _is_ours(self) -> StoredFile:
        if not filename.is_member(self.name) or self.name == filename.RECORD:
            raise ValueError(f"{self.name!r} is not a file of the database")
        return self


class LogPiece(_Part):
    """Bytes [start, end) of a WAL segment; both stand between two frames."""

    start: Count
    end: Count
    digest: Digest
    archive: BackupId

    def member(self, segment: str) -> str:
        return filename.piece(segment, self.start)


class ClockRange(_Part):
    """Clock times of a segment's first and last frame, and the smallest and largest of all its frames."""

    first_us: Count
    last_us: Count
    least_us: Count
    most_us: Count


class LogSegment(_Part):
    """A WAL segment up to `end_offset`, as pieces in order without a gap.

    `created_us` is the time in its header; `first_time_us` and `last_time_us` are those of its first and last
    frame, which never run backwards; `clock` is there when the clock was behind them at some frame. `dated` says that
    the frames tell so; those of earlier versions do not. It holds at least one frame.
    """

    name: _SegmentName
    base_lsn: Count
    last_lsn: Count
    end_offset: Count
    created_us: Count
    first_time_us: Count
    last_time_us: Count
    clock: ClockRange | None = None
    dated: bool = False
    pieces: tuple[LogPiece, ...]

    @property
    def shown(self) -> ClockRange:
        """The clock times while it was written."""
        first, last = self.first_time_us, self.last_time_us
        return self.clock or ClockRange(first_us=first, last_us=last, least_us=first, most_us=last)

    @model_validator(mode="after")
    def _is_whole(self) -> LogSegment:
        reached = 0
        for piece in self.pieces:
            if piece.start != reached or piece.end <= piece.start:
                raise ValueError(f"{self.name} has a gap at byte {reached}")
            reached = piece.end
        if reached != self.end_offset or not 1 <= self.base_lsn <= self.last_lsn:
            raise ValueError(f"{self.name} does not end at its stated end")
        return self


class Position(_Part):
    """A place in the log: the frame it follows.

    The next frame names `checksum` as `previous`. `mark` recognises the frame itself, "" when no frame
    was at hand; unlike the checksum it stays the same when recovery writes the frame into another segment.
    """

    lsn: Count
    time_us: Count
    checksum: _Checksum
    mark: Digest | Literal[""]


class Record(_Part):
    """A backup. `sealed_time_us` is a time at which `sealed_lsn` had been reached, `documents` counts the live ones
    at `position`.

    `sequence` is larger than that of every backup made before at the same place, whatever the clock said; 0 in
    those of earlier versions. `history` names the line of positions. It is that of MANIFEST, which is `origin` then,
    unless the database went on from an older state than an earlier backup had seen: that is a line of its own too.
    `branched_from` says which line was left and where. `full_because` says why a backup that was to be incremental
    is a full one.
    """

    format: Literal[1] = FORMAT
    id: BackupId
    backup_type: Literal["Full", "Incremental"]
    parent_id: BackupId | None
    continues: BackupId | None
    sequence: Count = 0
    created_us: Count
    description: Annotated[str, StringConstraints(max_length=BACKUP_DESCRIPTION_CHARS_MAX)]
    program: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+-]{1,64}$")]
    dimension: Annotated[int, Field(ge=1, le=DIMENSION_MAX, strict=True)]
    metric: Metric
    full_because: Annotated[str, StringConstraints(max_length=BACKUP_DESCRIPTION_CHARS_MAX)] = ""
    history: _History
    origin: _History | Literal[""] = ""
    branched_from: Branch | None = None
    documents: Count
    sealed_lsn: Count
    sealed_time_us: Count
    position: Position
    files: tuple[StoredFile, ...]
    log: tuple[LogSegment, ...]

    @model_validator(mode="after")
    def _is_consistent(self) -> Record:
        if self.position.lsn < self.sealed_lsn:
            raise ValueError("the position is below the sealed position")
        last = self.position.lsn
        for segment in reversed(self.log):
            if segment.last_lsn != last:
                raise ValueError(f"the log has a gap after {segment.name}")
            last = segment.base_lsn - 1
        if last > self.sealed_lsn:
            raise ValueError("the log starts after the end of the segments")
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError("a file is stated twice")
        if not any(f.name == data_filename.MANIFEST and f.archive == self.id for f in self.files):
            raise ValueError("MANIFEST is not in it")
        return self

    @property
    def database(self) -> str:
        """The history that MANIFEST stated."""
        return self.origin or self.history

    @property
    def needed_log(self) -> tuple[LogSegment, ...]:
        """The part of the log that restoring this backup to its own position takes."""
        return tuple(segment for segment in self.log if segment.last_lsn > self.sealed_lsn)

    @property
    def needs(self) -> frozenset[str]:
        """Other archives that a restore of this backup needs."""
        archives = {file.archive for file in self.files}
        archives.update(piece.archive for segment in self.needed_log for piece in segment.pieces)
        return frozenset(archives - {self.id})

    @property
    def parts(self) -> Iterator[tuple[str, str, tuple[int, str]]]:
        """All that restoring this backup to its own position takes: the archive, the name of the member, and its size
        in bytes and digest."""
        for file in self.files:
            yield file.archive, file.name, (file.size_bytes, file.digest)
        for segment in self.needed_log:
            for piece in segment.pieces:
                yield piece.archive, piece.member(segment.name), (piece.end - piece.start, piece.digest)

    @property
    def members(self) -> dict[str, tuple[int, str]]:
        """Size in bytes and digest of each member of its own archive except BACKUP.json."""
        own = {f.name: (f.size_bytes, f.digest) for f in self.files if f.archive == self.id}
        for segment in self.log:
            for piece in segment.pieces:
                if piece.archive == self.id:
                    own[piece.member(segment.name)] = piece.end - piece.start, piece.digest
        return own


def encode_record(record: Record) -> bytes:
    """JSON of the form {"digest": D, "record": R}, where D is the digest of the bytes that are R."""
    return seal_json(record.model_dump_json(indent=1).encode())


def decode_record(data: bytes) -> Record:
    """Raises ValueError saying what is wrong."""
    try:
        return Record.model_validate_json(unseal_json(data))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def seal_json(record: bytes) -> bytes:
    """JSON text that states its own digest."""
    return _SEAL % (digest(record).encode(), record)


def unseal_json(data: bytes) -> bytes:
    """The argument that `seal_json` was given. Raises ValueError when a byte is not as it was."""
    start = len(_SEAL % (bytes(32), b"")) - len(_END)
    record = data[start : -len(_END)]
    if seal_json(record) != data:
        raise ValueError("it does not match its digest")
    return record


def frame_mark(frame: Frame, epoch: bytes) -> str:
    """Recognises a frame by what it says and by the opening that wrote it, wherever it is written.

    A database that went on twice from the same state gives out the same positions; only the epoch tells two writes
    of the same content at the same time apart. Segments of earlier versions have none.
    """
    kind, content = frame.kind, frame.content
    if kind == PROBE and not content:
        # It holds the position of the SEAL of a segment without operations, where several became one.
        kind, content = SEAL, SEAL_CONTENT.pack(0)
    head = f"{frame.lsn} {frame.time_us} {kind} ".encode()
    if any(epoch):
        head += f"{epoch.hex()} {frame.behind_us} ".encode()
    return digest(head + content)
