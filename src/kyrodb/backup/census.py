"""How many documents a database holds, without opening it as one.

Segments say which ids live at the sealed position (storage/segment_reader.py); the log says which ids live or die
after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kyrodb.storage.manifest import SegmentEntry
from kyrodb.storage.records import DeleteRecord, PutRecord, Record
from kyrodb.storage.segment_reader import DocIds, read_segment_rows


class LogEffect:
    """Which documents are alive after a stretch of the log, and which are not; others it does not touch."""

    def __init__(self) -> None:
        self._alive: dict[int, bool] = {}

    def apply(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, PutRecord):
                self._alive[record.doc_id] = True
            elif isinstance(record, DeleteRecord):
                self._alive[record.doc_id] = False

    def count_after(self, before: Sequence[DocIds]) -> int:
        """Live documents, given those of every segment."""
        touched = np.fromiter(self._alive, dtype=np.uint64, count=len(self._alive))
        untouched = sum(len(ids) - int(np.isin(ids, touched).sum()) for ids in before)
        return untouched + sum(self._alive.values())


def live_ids(directory: Path, entry: SegmentEntry, content: Mapping[str, memoryview]) -> DocIds:
    """Ids of the rows of a segment that were alive at the sealed position; `content` has its files by name.

    Raises DataDamaged.
    """
    segment = read_segment_rows(directory, entry, lambda file: content[file.name])
    return segment.ids[segment.live_rows()]
