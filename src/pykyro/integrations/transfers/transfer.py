"""Bringing the rows of a table over, page by page, and proving that what is here is what is there.

A page of rows is read there and here, compared, written where it differs, and read and compared again. So a transfer
that broke off goes on when it is begun again, with nothing to remember but the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import pykyro
from pykyro.integrations.places import SyncCollection, SyncDatabase
from pykyro.integrations.store_collection import DISTANCES
from pykyro.integrations.transfers.source import Source, SourceRow

OnRefused = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of the rows of one table."""

    name: str
    written: int = 0
    there_already: int = 0
    refused: int = 0
    others: int = 0
    """Documents of the collection here that the table has not."""


def transfer(
    source: Source,
    database: SyncDatabase,
    into: str,
    *,
    distance: str | None = None,
    on_refused: OnRefused | None = None,
    on_rows: Callable[[int, int], None] = lambda done, total: None,
) -> Transferred:
    """Bring a table over into the collection `into`, which is made unless it is there, and compare each row.

    Nobody may write to either meanwhile. With `on_refused` rows that cannot be stored are told and left out. Raises
    InvalidArgument for a row that cannot be stored, FailedPrecondition when the collection is there with another
    dimension, distance or type of ids, or when rows are not what they were written as.
    """
    collection = _made(source, database, into, distance)
    found, done = Transferred(into), 0
    for page in source.pages:
        rows = {_key(row.id): row for row in page}
        here = _read(collection, [row.id for row in rows.values()])
        wanted = {own: row for own, row in rows.items() if own not in here or not _is_same(here[own], row)}
        refused = _stored(collection, wanted, into, on_refused)
        _prove(collection, into, {own: row for own, row in wanted.items() if own not in refused})
        done += len(page)
        found = replace(
            found,
            written=found.written + len(wanted) - len(refused),
            there_already=found.there_already + len(rows) - len(wanted),
            refused=found.refused + len(refused),
        )
        on_rows(done, source.total)
    if done != source.total:
        raise pykyro.FailedPrecondition(
            f"{source.name} was written to while it was read: {source.total} rows at first, {done} read; do it again"
        )
    return replace(found, others=collection.count() - found.written - found.there_already)


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


def _key(own_id: Any) -> str:
    return str(own_id)


def _read(collection: SyncCollection, ids: list[Any]) -> dict[str, pykyro.StoredDocument]:
    ids = [one for one in ids if not isinstance(one, int) or 1 <= one < 2**64]
    return {_key(one.id): one for one in collection.get_many(ids) if one is not None}


def _stored(
    collection: SyncCollection, rows: Mapping[str, SourceRow], into: str, on_refused: OnRefused | None
) -> set[str]:
    """Store these rows; those that were refused."""
    if not rows:
        return set()
    try:
        report = collection.insert_many((row.id, row.vector, row.metadata) for row in rows.values())
        refusals = [(one.id, one.reason) for one in report.refused]
    except pykyro.InvalidArgument:
        # None of them could be stored; each alone says why.
        refusals = [(row.id, reason) for row in rows.values() if (reason := _refusal(collection, row))]
    for own_id, reason in refusals:
        text = f"collection {into!r} row {own_id!r:.200}: {reason}"
        if on_refused is None:
            raise pykyro.InvalidArgument(text, field="row")
        on_refused(text)
    return {_key(own_id) for own_id, _ in refusals}


def _refusal(collection: SyncCollection, row: SourceRow) -> str:
    try:
        collection.insert(row.id, row.vector, row.metadata)
    except pykyro.InvalidArgument as error:
        return str(error)
    return ""


def _prove(collection: SyncCollection, into: str, rows: Mapping[str, SourceRow]) -> None:
    here = _read(collection, [row.id for row in rows.values()])
    for own, row in rows.items():
        if own not in here or not _is_same(here[own], row):
            raise pykyro.FailedPrecondition(
                f"collection {into!r} row {row.id!r:.200} is not here as it is there; does somebody else write to "
                "it? Do it again"
            )


def _is_same(here: pykyro.StoredDocument, row: SourceRow) -> bool:
    """Vectors to the bit, values with their types."""
    return (
        here.vector is not None
        and np.array_equal(here.vector.view(np.uint32), np.ascontiguousarray(row.vector).view(np.uint32))
        and _same_value(here.metadata, row.metadata)
    )


def _same_value(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same_value(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_same_value, first, second))
    return bool(first == second or (first != first and second != second))
