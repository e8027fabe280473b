"""Bringing the rows of a table over into a collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import pykyro
from pykyro.integrations.places import SyncCollection, SyncDatabase
from pykyro.integrations.store_collection import DISTANCES
from pykyro.integrations.transfers.pages import (
    OnRefused,
    OnRows,
    Refusal,
    Transferred,
    bring_over,
    silent,
)
from pykyro.integrations.transfers.source import Source, SourceRow


def transfer(
    source: Source,
    database: SyncDatabase,
    into: str,
    *,
    distance: str | None = None,
    on_refused: OnRefused | None = None,
    on_rows: OnRows = silent,
) -> Transferred:
    """Bring a table over into the collection `into`, which is made unless it is there, and compare each row.

    Nobody may write to either meanwhile. With `on_refused` rows that cannot be stored are told and left out. Raises
    InvalidArgument for a row that cannot be stored, FailedPrecondition when the collection is there with another
    dimension, distance or type of ids, or when rows are not what they were written as.
    """
    destination = _Destination(into, _made(source, database, into, distance))
    pages = ((len(page), {str(row.id): row for row in page}) for page in source.pages)
    return bring_over(source.name, pages, source.total, destination, on_refused=on_refused, on_rows=on_rows)


def _made(source: Source, database: SyncDatabase, into: str, distance: str | None) -> SyncCollection:
    wanted: Any = distance or source.distance
    try:
        info = database.describe_collection(into)
    except pykyro.NotFound:
        if wanted is None:
            raise pykyro.InvalidArgument(
                f"{source.name} does not say which distance its vectors are for: name one of {', '.join(DISTANCES)} "
                "by --distance",
                field="distance",
            ) from None
        database.create_collection(into, source.dimension, wanted, id_type=source.id_type)
        return database.collection(into)
    there = (info.config.dimension, info.config.metric.value, info.config.id_type)
    asked = (source.dimension, wanted or info.config.metric.value, source.id_type)
    if there != asked:
        raise pykyro.FailedPrecondition(
            f"collection {into!r} is there already, of dimension, distance and ids {there}; {source.name} has "
            f"{asked}: choose another name by --into"
        )
    return database.collection(into)


class _Destination:
    """A collection, whose rows go by their ids as text."""

    def __init__(self, name: str, collection: SyncCollection) -> None:
        self.name = name
        self._collection = collection

    def read(self, rows: Mapping[str, SourceRow]) -> dict[str, pykyro.StoredDocument]:
        ids = [row.id for row in rows.values() if not isinstance(row.id, int) or 1 <= row.id < 2**64]
        return {str(one.id): one for one in self._collection.get_many(ids) if one is not None}

    def is_same(self, here: pykyro.StoredDocument, row: SourceRow) -> bool:
        return (
            here.vector is not None
            and np.array_equal(here.vector.view(np.uint32), np.ascontiguousarray(row.vector).view(np.uint32))
            and _same_value(here.metadata, row.metadata)
        )

    def store(self, rows: Mapping[str, SourceRow], here: Mapping[str, Any]) -> Iterable[Refusal]:
        try:
            report = self._collection.insert_many((row.id, row.vector, row.metadata) for row in rows.values())
        except pykyro.InvalidArgument:
            # None of them could be stored; each alone says why.
            return [(key, error) for key, row in rows.items() if (error := self._refusal(row)) is not None]
        return [(str(one.id), one.reason) for one in report.refused]

    def _refusal(self, row: SourceRow) -> pykyro.InvalidArgument | None:
        try:
            self._collection.insert(row.id, row.vector, row.metadata)
        except pykyro.InvalidArgument as error:
            return error
        return None

    def own_id(self, row: SourceRow) -> Any:
        return row.id

    def count(self) -> int:
        return self._collection.count()


def _same_value(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same_value(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_same_value, first, second))
    return bool(first == second or (first != first and second != second))
