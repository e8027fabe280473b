"""How many documents a database holds, without opening it as one.

Segments say which documents live at the sealed position (storage/segment/reader.py); the log says which live or die
after that. A document is alive in one segment at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from pykyro.model.types import Key, key_doc_id, key_of_owner
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.id_map import IdMap
from pykyro.storage.manifest import Manifest, SegmentEntry
from pykyro.storage.segment.reader import read_segment_rows
from pykyro.storage.segment.row_keys import DocIds, Owners
from pykyro.storage.segment.section_file import read_section_file
from pykyro.storage.wal.chain import WalChain
from pykyro.storage.wal.records import DeleteRecord, PutRecord, Record
from pykyro.storage.wal.retention import is_sealed


class LiveKeys(NamedTuple):
    """Of each live document of a segment its id and its owner."""

    ids: DocIds
    owners: Owners


class LogEffect:
    """Which documents are alive after a stretch of the log, and which are not; others it does not touch."""

    def __init__(self) -> None:
        self._alive: dict[Key, bool] = {}

    def apply(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, PutRecord):
                self._alive[record.key] = True
            elif isinstance(record, DeleteRecord):
                self._alive[record.key] = False

    def count_after(self, before: Sequence[LiveKeys]) -> int:
        """Live documents, given those of every segment."""
        return sum(len(keys.ids) - self._touched(keys) for keys in before) + sum(self._alive.values())

    def _touched(self, keys: LiveKeys) -> int:
        """How many of these documents the log touches."""
        ids = np.fromiter(map(key_doc_id, self._alive), dtype=np.uint64, count=len(self._alive))
        at = np.isin(keys.ids, ids)
        found = zip(keys.ids[at].tolist(), keys.owners[at].tolist(), strict=True)
        return sum(key_of_owner(owner, doc_id) in self._alive for doc_id, owner in found)


def live_keys(directory: Path, entry: SegmentEntry, content: Mapping[str, memoryview]) -> LiveKeys:
    """Keys of the rows of a segment that were alive at the sealed position; `content` has its files by name.

    Raises DataDamaged.
    """
    segment = read_segment_rows(directory, entry, lambda file: content[file.name])
    live = segment.live_rows()
    return LiveKeys(segment.ids[live], segment.owners_of(live))


def live_keys_elsewhere(
    directory: Path, manifest: Manifest, content: Mapping[str, memoryview]
) -> list[LiveKeys]:
    """The same of documents whose rows are elsewhere, as the maps of their ids have them. Raises DataDamaged."""
    entries = () if manifest.remote is None else manifest.remote.maps
    maps = [
        IdMap(entry, read_section_file(content[entry.name], directory / entry.name, entry.facts))
        for entry in entries
    ]
    dead: BitMap = maps[-1].dead if maps else BitMap()
    found = []
    for one in maps:
        live = ~np.isin(one.rows, np.array(dead, np.uint32))
        found.append(LiveKeys(one.ids[live], one.entry_owners()[live]))
    return found


def count_documents(filesystem: FileSystem, directory: Path, manifest: Manifest) -> int:
    """Live documents of a directory that no server is changing. Raises DataDamaged, OSError."""
    content = {entry.name: filesystem.map(directory / entry.name) for entry in manifest.files}
    before = [live_keys(directory, entry, content) for entry in manifest.segments]
    before += live_keys_elsewhere(directory, manifest, content)
    effect, chain = LogEffect(), WalChain(filesystem, directory, manifest)
    for entry in manifest.wal:
        if not is_sealed(entry, manifest.sealed_lsn):
            for frame in chain.read(entry).operations:
                if frame.lsn > manifest.sealed_lsn:
                    effect.apply(chain.decode(entry, frame))
    return effect.count_after(before)
