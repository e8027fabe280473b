"""How many documents a database holds, without opening it as one.

The keys of a cold segment's rows and of its dead rows are read from its files (storage/row_keys.py, section
"dead_rows"); the log says which documents live or die after that. A document is alive in one segment at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kyrodb.errors import DataDamaged
from kyrodb.storage.manifest import SegmentEntry
from kyrodb.storage.records import DeleteRecord, PutRecord, Record
from kyrodb.storage.row_keys import DocIds, Owners, read_row_keys
from kyrodb.storage.section_file import read_section_file
from kyrodb.types import Key, key_doc_id, key_of_owner

DEAD_ROWS: Final = "dead_rows"


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
    file = read_section_file(content[entry.rows.name], directory / entry.rows.name, entry.rows.facts)
    keys, live = read_row_keys(file), np.flatnonzero(live_mask(directory, entry, content))
    return LiveKeys(keys.ids[live], keys.owners_of(live))


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
