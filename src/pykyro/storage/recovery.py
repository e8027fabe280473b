"""Opening a data directory: what it holds, proved, and a log whose end is known to be on disk.

    1. MANIFEST says which files belong to the database; a directory with data but without MANIFEST is refused.
    2. Segments are named in the MANIFEST and proved by whoever opens them (engine/tiers/cold_segment.py).
    3. `replay` reads the log behind the sealed position, proving first that no frame is missing in between.
       What is read may be too much for memory; then the caller calls `secure_log`, seals what it has, and goes on.
    4. `start_log` copies what an unclean stop left unsealed into a new, synced, sealed segment: after a failed
       fsync the page cache can hold bytes the disk never took, and only bytes written anew are known to last.
    5. Then files no MANIFEST names are removed.

Nothing that exists is modified before step 4's MANIFEST is durable, so dying anywhere in between changes nothing.
`secure_log` does the first half of step 4: only what is known to be on disk may be left out of the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from pykyro.model.cold_tier import LOCAL, POSTGRES, ColdTier
from pykyro.model.collection import require_words_here
from pykyro.model.errors import DataDamaged, DataDirMismatch
from pykyro.model.languages import LANGUAGES
from pykyro.model.types import LSN, Metric
from pykyro.model.words import ANALYSER, WordsConfig, shown_words
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import (
    Branch,
    Manifest,
    RemoteEntry,
    WalEntry,
    WordsEntry,
    read_manifest,
    write_manifest,
)
from pykyro.storage.manifest_store import ManifestStore
from pykyro.storage.wal.chain import WalChain
from pykyro.storage.wal.format import OPERATION, SEAL, Frame, SegmentHeader
from pykyro.storage.wal.log import Log, LogOptions
from pykyro.storage.wal.reader import SegmentContents, segment_frames
from pykyro.storage.wal.records import KeyRecord, Record
from pykyro.storage.wal.retention import is_sealed
from pykyro.storage.wal.tidying import tidy_log
from pykyro.storage.wal.writer import PendingFrame, WalPosition, WalWriter
from pykyro.system.clock import Clock

_RESTORE: Final = "Restore from a backup"
_LOCAL: Final = ColdTier()
_COPIED_TOGETHER: Final = 4 << 20
"""Bytes of frames."""


@dataclass(slots=True)
class RecoveryReport:
    """What opening the directory found. `from_checkpoint_only` says that the log was gone."""

    created: bool = False
    sealed_lsn: LSN = 0
    last_lsn: LSN = 0
    frames_replayed: int = 0
    torn_bytes: int = 0
    unclean: bool = False
    """The last owner did not close the database."""
    removed_files: list[str] = field(default_factory=list)
    from_checkpoint_only: bool = False
    warnings: list[str] = field(default_factory=list)


class Recovery:
    """One opening of a data directory: construct, open the segments of `manifest`, drain `replay`, `start_log`."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        clock: Clock,
        *,
        dimension: int,
        metric: Metric,
        text_ids: bool | None = None,
        cold_tier: ColdTier | None = None,
        words: WordsConfig | None = None,
    ) -> None:
        """Reads or creates the MANIFEST; without `text_ids` ids are as they are, and integers in a new one; without
        `cold_tier` sealed documents are where they are, and here in a new one; without `words` words are kept as they
        are, and not at all in a new one. The caller holds the directory's lock.

        Raises DataDamaged, DataDirMismatch, OSError.
        """
        self._filesystem = filesystem
        self._directory = directory
        self._clock = clock
        self.report = RecoveryReport()
        manifest = self._read_or_create(dimension, metric, text_ids, cold_tier, words)
        require_identity(manifest, dimension, metric, directory / filename.MANIFEST)
        require_id_type(manifest, text_ids, directory / filename.MANIFEST)
        _require_cold_tier(manifest, cold_tier, directory / filename.MANIFEST)
        require_words(manifest, words, directory / filename.MANIFEST)
        # A crash leaves files with numbers the MANIFEST never heard of; they keep their names until step 5.
        taken = filename.largest_number(filesystem.names(directory))
        self.manifests = ManifestStore(filesystem, directory, clock, manifest, numbers_from=taken + 1)
        self._position = WalPosition(manifest.sealed_lsn, 0, 0, 0)
        self._unsealed: tuple[WalEntry, SegmentContents, memoryview] | None = None
        self.report.sealed_lsn = self.report.last_lsn = manifest.sealed_lsn

    @property
    def manifest(self) -> Manifest:
        return self.manifests.current

    def replay(self) -> Iterator[tuple[LSN, list[Record], list[KeyRecord]]]:
        """Every operation behind the sealed position, in order, with the idempotency keys that it acknowledged; the
        whole log is proved before the first. Raises DataDamaged."""
        sealed_lsn = self.manifest.sealed_lsn
        chain = WalChain(self._filesystem, self._directory, self.manifest)
        # Mapped: the log may be larger than memory, and what is mapped stays readable when its name is gone.
        segments = [
            (entry, self._filesystem.map(self._directory / entry.name)) for entry in self._present_segments()
        ]
        for entry, data in segments:
            contents = chain.scan(entry, data, lambda frame: None)
            if entry.last_lsn is None:
                self._unsealed = entry, contents, data
                self.report.unclean = True
                self.report.torn_bytes = contents.torn_bytes
            self._position = WalPosition(contents.last_lsn, contents.last_checksum, 0, contents.last_time_us)
        self.report.last_lsn = max(self.report.last_lsn, self._position.lsn)
        for entry, data in segments:
            path = self._directory / entry.name
            for frame in segment_frames(data, path, end_offset=entry.end_offset):
                if frame.kind == OPERATION and frame.lsn > sealed_lsn:
                    keys: list[KeyRecord] = []
                    yield frame.lsn, chain.decode(entry, frame, keys), keys
                    self.report.frames_replayed += 1

    def secure_log(self) -> LSN:
        """Bring all of the log that was proved to disk; where it ends. Call before anything that was replayed is
        sealed. Raises OSError."""
        if self._unsealed is not None:
            unsealed, self._unsealed = self._unsealed, None
            self._copy_unsealed(*unsealed)
        return self._position.lsn

    def start_log(self, options: LogOptions) -> Log:
        """The log, ready for the next frame. Call after `replay` was drained. Raises OSError."""
        self.secure_log()
        self._position = tidy_log(self._filesystem, self._directory, self.manifests, self._position)
        log = Log(self._filesystem, self._directory, self._clock, options, self.manifests, self._position)
        self._remove_unnamed_files()
        return log

    def _read_or_create(
        self,
        dimension: int,
        metric: Metric,
        text_ids: bool | None,
        cold_tier: ColdTier | None,
        words: WordsConfig | None,
    ) -> Manifest:
        try:
            manifest = read_manifest(self._filesystem, self._directory)
        except FileNotFoundError:
            pass
        else:
            if not manifest.file_names:
                # The start that created it did not come to its end, so perhaps only the page cache knows its name; a
                # log whose name is durable before that of the MANIFEST would look as if the MANIFEST had been lost.
                write_manifest(self._filesystem, self._directory, manifest)
            return manifest
        data = [n for n in self._filesystem.names(self._directory) if filename.is_data_file(n)]
        if [name for name in data if name != filename.temporary(filename.MANIFEST)]:
            raise DataDamaged(
                f"MANIFEST is missing, but the directory holds data ({data[0]} and {len(data) - 1} more)",
                path=self._directory / filename.MANIFEST,
                hint="Put the MANIFEST back or restore from a backup; to start anew, empty the directory",
            )
        require_words_here(cold_tier or ColdTier(), words)
        manifest = create_manifest(
            self._filesystem,
            self._directory,
            dimension,
            metric,
            text_ids=bool(text_ids),
            cold_tier=cold_tier or ColdTier(),
            words=words,
        )
        self.report.created = True
        return manifest

    def _present_segments(self) -> list[WalEntry]:
        """The log's segments that matter, or none when an operator removed the whole log on purpose."""
        entries = self.manifest.wal
        missing = [e for e in entries if not self._filesystem.exists(self._directory / e.name)]
        if entries and len(missing) == len(entries):
            self._require_no_log()
            self._start_from_checkpoint()
            return []
        sealed_lsn = self.manifest.sealed_lsn
        needed = [entry for entry in entries if not is_sealed(entry, sealed_lsn)]
        if not needed:
            # The log that opens now continues the retained one, if that reaches up to here.
            return [e for e in entries[-1:] if e.last_lsn == sealed_lsn and e not in missing]
        for entry in missing:
            if entry in needed:
                raise DataDamaged(
                    f"WAL segment is missing (positions from {entry.base_lsn})",
                    path=self._directory / entry.name,
                    hint=f"{_RESTORE}; removing all WAL files starts from position {sealed_lsn}",
                )
        return needed

    def _require_no_log(self) -> None:
        """Who removes the whole log on purpose leaves no log file. One that MANIFEST does not name was written by
        another process, or MANIFEST is not the one that belongs here."""
        strays = [n for n in self._filesystem.names(self._directory) if filename.is_log_file(n)]
        if strays:
            raise DataDamaged(
                f"it names none of the {len(strays)} log files that are there ({strays[0]}), and those that it names "
                "are missing: two processes wrote here, or it is the MANIFEST of another time",
                path=self._directory / filename.MANIFEST,
                hint=f"{_RESTORE}. Removing all WAL files as well starts from position {self.manifest.sealed_lsn} "
                "and loses every write after it",
            )

    def _start_from_checkpoint(self) -> None:
        """The documented last resort: all WAL files are gone, the segments are whole."""
        self.report.from_checkpoint_only = True
        self.report.warnings.append(
            f"all WAL files are missing: started from the last checkpoint, position {self.manifest.sealed_lsn}; "
            "writes after it are lost"
        )
        # Positions after the checkpoint will be given out again, so this is another history from here on.
        self.manifests.update(
            lambda manifest: manifest.model_copy(
                update={
                    "wal": (),
                    "history": _new_history(),
                    "branched_from": Branch(history=manifest.history, lsn=manifest.sealed_lsn),
                }
            )
        )

    def _copy_unsealed(self, entry: WalEntry, contents: SegmentContents, data: memoryview) -> None:
        """Write the unsealed segment's frames anew, sealed, and let the MANIFEST name the copy instead."""
        if contents.last_lsn < contents.header.base_lsn:
            self._replace_entry(entry, None)
            return
        first = contents.header
        header = SegmentHeader(first.base_lsn, first.previous, first.created_us, os.urandom(16), first.epoch)
        copy = WalWriter(self._filesystem, self._directory, self.manifests.take_number(), header)
        try:
            copy.seal(_copy_frames(segment_frames(data, self._directory / entry.name), copy))
        finally:
            copy.close()
        end = copy.synced
        self._replace_entry(
            entry, WalEntry(name=copy.name, base_lsn=copy.base_lsn, last_lsn=end.lsn, end_offset=end.offset)
        )
        self._position = end

    def _replace_entry(self, old: WalEntry, new: WalEntry | None) -> None:
        def change(manifest: Manifest) -> Manifest:
            wal = tuple(e for e in manifest.wal if e.name != old.name) + ((new,) if new else ())
            return manifest.model_copy(update={"wal": wal})

        self.manifests.update(change)

    def _remove_unnamed_files(self) -> None:
        ours = self.manifest.file_names
        for name in self._filesystem.names(self._directory):
            if not filename.is_data_file(name) or name in ours:
                continue
            try:
                self._filesystem.remove(self._directory / name)
            except OSError as error:
                self.report.warnings.append(
                    f"{name} belongs to nothing and cannot be removed: {error.strerror}"
                )
            else:
                self.report.removed_files.append(name)


def create_manifest(
    filesystem: FileSystem,
    directory: Path,
    dimension: int,
    metric: Metric,
    *,
    text_ids: bool = False,
    cold_tier: ColdTier = _LOCAL,
    words: WordsConfig | None = None,
) -> Manifest:
    """Make a directory a database without documents; when this returns it is durable. Raises OSError."""
    manifest = Manifest(
        dimension=dimension,
        metric=metric,
        history=_new_history(),
        next_number=1,
        sealed_lsn=0,
        text_ids=os.urandom(16).hex() if text_ids else None,
        remote=None
        if cold_tier.engine == LOCAL
        else RemoteEntry(service=cold_tier.service, table=os.urandom(8).hex()),
        words=WordsEntry.of(words),
    )
    write_manifest(filesystem, directory, manifest)
    return manifest


def _copy_frames(frames: Iterator[Frame], copy: WalWriter) -> int:
    """Append the frames, some at a time, without the seal; what the clock showed at the last."""
    waiting: list[PendingFrame] = []
    waiting_bytes = last_us = 0
    for frame in frames:
        last_us = frame.wall_us
        if frame.kind == SEAL:
            continue
        waiting.append(PendingFrame(frame.kind, frame.content, frame.wall_us))
        waiting_bytes += len(frame.content)
        if waiting_bytes > _COPIED_TOGETHER:
            copy.append(waiting)
            waiting, waiting_bytes = [], 0
    if waiting:
        copy.append(waiting)
    return last_us


def require_identity(manifest: Manifest, dimension: int, metric: Metric, path: Path) -> None:
    """Raises DataDirMismatch when the directory holds other vectors."""
    if (manifest.dimension, manifest.metric) != (dimension, metric):
        raise DataDirMismatch(
            f"the directory holds vectors of dimension {manifest.dimension}, distance {manifest.metric.value}; "
            f"asked for dimension {dimension}, distance {metric.value}",
            path=path,
            hint=f"Set hnsw.dimension: {manifest.dimension} and hnsw.distance: {manifest.metric.value}, "
            "or choose another data_dir",
        )


def require_id_type(manifest: Manifest, text_ids: bool | None, path: Path) -> None:
    """Raises DataDirMismatch when the directory holds ids of another type; None is as they are."""
    if text_ids is not None and (manifest.text_ids is not None) != text_ids:
        there, asked = ("integer", "text") if text_ids else ("text", "integer")
        raise DataDirMismatch(
            f"the ids of the documents in the directory are of type {there}; asked for {asked}",
            path=path,
            hint=f"Set collections.default_id_type: {there}, or id_type={there!r} of pykyro.open; or choose another "
            "data_dir",
        )


def cold_tier_of(manifest: Manifest) -> ColdTier:
    """Where the sealed documents of a directory are."""
    return ColdTier() if manifest.remote is None else ColdTier(POSTGRES, manifest.remote.service)


def _require_cold_tier(manifest: Manifest, cold_tier: ColdTier | None, path: Path) -> None:
    there = cold_tier_of(manifest)
    if cold_tier is not None and cold_tier.engine != there.engine:
        raise DataDirMismatch(
            f"the cold tier of the directory is {there}; asked for {cold_tier}",
            path=path,
            hint=f"Set cold_tier.engine: {there.engine}, or cold_tier={str(there)!r} of pykyro.open; or "
            "choose another data_dir",
        )


def require_words(manifest: Manifest, words: WordsConfig | None, path: Path) -> None:
    """Raises DataDirMismatch unless words are kept as is asked for, if it is, and as this program keeps them."""
    there = manifest.words_config
    if there is not None and (there.analyser != ANALYSER or there.language not in LANGUAGES):
        raise DataDirMismatch(
            f"the words in the directory were found by analyser {there.analyser} for {there.language}; this program "
            f"has analyser {ANALYSER}",
            path=path,
            hint="Open it with the version of KyroDB that wrote it, export it, and import it with this one",
        )
    if words is not None and words != there:
        raise DataDirMismatch(
            f"the directory was created with {shown_words(there)}; asked for {shown_words(words)}",
            path=path,
            hint="Text options are said when a collection is created: leave them out, or create another collection "
            "with these and copy the documents (kyrodb export, then import)",
        )


def _new_history() -> str:
    return UUID(bytes=os.urandom(16), version=4).hex
