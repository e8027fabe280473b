"""Several documents that are stored all or none: what their one frame of the log holds."""

from __future__ import annotations

from collections.abc import Callable

from pykyro.engine.resolve import GroupChanges
from pykyro.model.requests import Put, PutMany
from pykyro.storage.wal.records import Record

PutResolver = Callable[[Put, GroupChanges], tuple[int, list[Record]]]


def resolve_put_many(
    operation: PutMany, changes: GroupChanges, resolve_put: PutResolver
) -> tuple[int, list[Record]]:
    """How many of the documents existed before, and the records to log. Raises what refuses one of them.

    Each is resolved as if those before it were stored, so that the bounds hold for all together.
    """
    tried = changes.copy()
    records: list[Record] = []
    existed_before = 0
    for put in {(put.document.tenant, put.document.own_id): put for put in operation.puts}.values():
        existed, record = resolve_put(put, tried)
        tried.note(record)
        existed_before += existed
        records += record
    changes.has_expiry = tried.has_expiry
    return existed_before, records
