"""How many documents a database holds, without opening it as one.

Segments say which documents live at the sealed position (storage/segment/reader.py); the log says which live or die
after that. A document is alive in one segment at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pykyro.model.types import Key, key_doc_id, key_of_owner
from pykyro.storage.manifest import SegmentEntry
from pykyro.storage.segment.reader import read_segment_rows
from pykyro.storage.segment.row_keys import DocIds, Owners
from pykyro.storage.wal.records import DeleteRecord, PutRecord, Record


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
