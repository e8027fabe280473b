"""Several documents that are stored all or none: what their one frame of the log holds."""

from __future__ import annotations

from collections.abc import Callable

from pykyro.engine.resolve import GroupChanges
from pykyro.model.requests import Put, PutMany
from pykyro.model.types import OWNER_SHIFT
from pykyro.storage.wal.records import Record

PutResolver = Callable[[Put, GroupChanges], tuple[int, list[Record]]]


def resolve_put_many(
    operation: PutMany, changes: GroupChanges, resolve_put: PutResolver
) -> tuple[int, list[Record]]:
    """How many of the documents existed before, and the records to log. Raises what refuses one of them.

    Each new one is counted before the next is looked at, so that the bounds hold for all together.
    """
    documents, by_owner = changes.documents, changes.by_owner.copy()
    records: list[Record] = []
    existed_before = 0
    try:
        for put in {put.document.key: put for put in operation.puts}.values():
            existed, record = resolve_put(put, changes)
            existed_before += existed
            records += record
            if not existed:
                changes.documents += 1
                changes.by_owner[put.document.key >> OWNER_SHIFT] += 1
    finally:
        changes.documents, changes.by_owner = documents, by_owner
    return existed_before, records
