"""The log of a data directory as a backup reads it: segment by segment, so that it need not fit into memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pykyro.backup.archive.record import ClockRange, Position, frame_mark
from pykyro.backup.source.document_count import LogEffect
from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN
from pykyro.storage.manifest import Manifest, WalEntry
from pykyro.storage.wal.format import Frame
from pykyro.storage.wal.reader import SegmentContents, read_segment
from pykyro.storage.wal.records import decode_records


@dataclass(frozen=True, slots=True)
class SourceSegment:
    """A WAL segment up to the end of its last frame; it has at least one. Times are those of its header and of its
    first and last frame; `clock` and `dated` as in record.LogSegment."""

    entry: WalEntry
    content: memoryview
    previous: int
    created_us: int
    first_time_us: int
    last_time_us: int
    clock: ClockRange | None
    dated: bool

    @property
    def end_offset(self) -> int:
        return len(self.content)

    @property
    def last_lsn(self) -> LSN:
        assert self.entry.last_lsn is not None
        return self.entry.last_lsn


@dataclass(frozen=True, slots=True)
class SourceLog:
    """`marks` are those of the frames that were asked for, as far as the log holds them: record.frame_mark.

    `effect` is what the log does behind the sealed position, `position` its end, `last_write` the position of the
    last write in it, the sealed position if there is none behind that, and `sealed_time_us` a time at which the
    sealed position had been reached.
    """

    segments: tuple[SourceSegment, ...]
    marks: dict[LSN, str]
    effect: LogEffect
    position: Position
    last_write: LSN
    sealed_time_us: int


def read_log(
    directory: Path,
    manifest: Manifest,
    mapped: Sequence[tuple[str, memoryview, int | None]],
    positions: Collection[LSN],
    before: tuple[Frame, bytes] | None,
) -> SourceLog:
    """Prove the segments, given as name, content and end in the order of the log. Raises DataDamaged.

    `before` is the frame that the first segment follows and the epoch it is of, if they are known.
    """
    reader = _Reader(directory, manifest, frozenset(positions), before)
    for name, content, end_offset in mapped:
        reader.read(name, content, end_offset)
    return SourceLog(
        tuple(reader.segments),
        reader.marks,
        reader.effect,
        reader.position,
        reader.last_write,
        reader.sealed_time_us,
    )


class _Reader:
    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        positions: frozenset[LSN],
        before: tuple[Frame, bytes] | None,
    ) -> None:
        self._directory = directory
        self._sealed_lsn = manifest.sealed_lsn
        self._tenanted = bool(manifest.tenants)
        self._wanted = positions
        self._first = before is None
        self.segments: list[SourceSegment] = []
        self.marks: dict[LSN, str] = {}
        self.effect = LogEffect()
        self.last_write = manifest.sealed_lsn
        self.sealed_time_us = manifest.updated_us
        self.position = Position(lsn=manifest.sealed_lsn, time_us=manifest.updated_us, checksum=0, mark="")
        if before is not None:
            frame, epoch = before
            mark = frame_mark(frame, epoch)
            self.position = Position(lsn=frame.lsn, time_us=frame.time_us, checksum=frame.checksum, mark=mark)
            self.marks[frame.lsn] = mark

    def read(self, name: str, content: memoryview, end_offset: int | None) -> None:
        path = self._directory / name
        contents = read_segment(content, path, end_offset=end_offset)
        self._require_continuation(contents, path)
        if contents.header.base_lsn == self._sealed_lsn + 1:
            self.sealed_time_us = contents.header.created_us
        self._move_on(contents)
        if contents.frames:
            self.segments.append(_segment(name, content, contents))
            self._read_frames(contents, path)

    def _read_frames(self, contents: SegmentContents, path: Path) -> None:
        for frame in contents.frames:
            if frame.lsn in self._wanted:
                self.marks[frame.lsn] = frame_mark(frame, contents.header.epoch)
        for frame in contents.operations:
            if frame.lsn > self._sealed_lsn:
                self.last_write = max(self.last_write, frame.lsn)
                try:
                    self.effect.apply(decode_records(frame.content, tenanted=self._tenanted))
                except ValueError as error:
                    raise DataDamaged(str(error), path=path, offset=frame.offset) from None

    def _require_continuation(self, contents: SegmentContents, path: Path) -> None:
        base = contents.header.base_lsn
        if self._first and base > self._sealed_lsn + 1:
            raise DataDamaged(
                f"the log starts at position {base}, the segments end at {self._sealed_lsn}", path=path
            )
        if not self._first and (base, contents.header.previous) != (
            self.position.lsn + 1,
            self.position.checksum,
        ):
            raise DataDamaged(f"segment does not continue position {self.position.lsn}", path=path, offset=0)
        self._first = False

    def _move_on(self, contents: SegmentContents) -> None:
        """The position becomes that of the segment's last frame; in an empty one, that of the frame before it."""
        mark, time_us = self.position.mark, self.position.time_us
        if contents.frames:
            mark, time_us = frame_mark(contents.frames[-1], contents.header.epoch), contents.last_time_us
        elif not mark:
            time_us = contents.header.created_us
        self.position = Position(
            lsn=contents.last_lsn, time_us=time_us, checksum=contents.last_checksum, mark=mark
        )


def _segment(name: str, content: memoryview, contents: SegmentContents) -> SourceSegment:
    return SourceSegment(
        WalEntry(
            name=name,
            base_lsn=contents.header.base_lsn,
            last_lsn=contents.last_lsn,
            end_offset=contents.end_offset,
        ),
        content[: contents.end_offset],
        contents.header.previous,
        contents.header.created_us,
        contents.frames[0].time_us,
        contents.last_time_us,
        _clock(contents),
        any(contents.header.epoch),
    )


def _clock(contents: SegmentContents) -> ClockRange | None:
    if not any(frame.behind_us for frame in contents.frames):
        return None
    shown = [frame.wall_us for frame in contents.frames]
    return ClockRange(first_us=shown[0], last_us=shown[-1], least_us=min(shown), most_us=max(shown))
