"""How many documents a database holds, without opening it as one.

The ids of a cold segment and of its dead rows are read from its files (sections "ids" and "dead_rows", see
engine/cold_segment.py for their format); the log says which ids live or die after that. A document is alive in
one segment at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kyrodb.errors import DataDamaged
from kyrodb.storage.manifest import SegmentEntry
from kyrodb.storage.records import DeleteRecord, PutRecord, Record
from kyrodb.storage.section_file import read_section_file

IDS: Final = "ids"
DEAD_ROWS: Final = "dead_rows"

Ids = npt.NDArray[np.uint64]


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

    def count_after(self, before: Sequence[Ids]) -> int:
        """Live documents, given those of every segment."""
        touched = np.fromiter(self._alive, dtype=np.uint64, count=len(self._alive))
        untouched = sum(len(ids) - int(np.isin(ids, touched).sum()) for ids in before)
        return untouched + sum(self._alive.values())


def live_ids(directory: Path, entry: SegmentEntry, content: Mapping[str, memoryview]) -> Ids:
    """Ids of the rows of a segment that were alive at the sealed position; `content` has its files by name.

    Raises DataDamaged.
    """
    rows = read_section_file(content[entry.rows.name], directory / entry.rows.name, entry.rows.facts)
    ids: Ids = rows.section(IDS)
    return ids[live_mask(directory, entry, content)]


def live_mask(
    directory: Path, entry: SegmentEntry, content: Mapping[str, memoryview]
) -> npt.NDArray[np.bool_]:
    """Which rows of a segment were alive at the sealed position. Raises DataDamaged."""
    mask = np.ones(entry.row_count, dtype=np.bool_)
    if entry.dead is not None:
        path = directory / entry.dead.name
        dead = read_section_file(content[entry.dead.name], path, entry.dead.facts).section(DEAD_ROWS)
        if len(dead) and int(dead.max()) >= entry.row_count:
            raise DataDamaged("dead rows do not fit the segment", path=path)
        mask[dead] = False
    return mask
