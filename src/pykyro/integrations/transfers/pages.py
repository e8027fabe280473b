"""Bringing rows over page by page, and proving that what is here is what is there.

A page of rows is read there and here, compared, written where it differs, and read and compared again. So a transfer
that broke off goes on when it is begun again, with nothing to remember but the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import pykyro

OnRefused: TypeAlias = Callable[[str], None]
OnRows: TypeAlias = Callable[[int, int], None]
Refusal: TypeAlias = tuple[str, str | Exception]
"""The key of a row, and why it cannot be stored."""
Row = TypeVar("Row", contravariant=True)


def silent(done: int, total: int) -> None:
    """Tells nobody how far it is."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of the rows of one table or collection."""

    name: str
    written: int = 0
    there_already: int = 0
    refused: int = 0
    others: int = 0
    """Documents of the collection here that are not there."""


class Destination(Protocol[Row]):
    """The collection here. Rows go by a key, which is a text for every id."""

    @property
    def name(self) -> str: ...

    def read(self, rows: Mapping[str, Row]) -> Mapping[str, Any]:
        """What is here under their ids, by key."""
        ...

    def is_same(self, here: Any, row: Row) -> bool:
        """Vectors to the bit, values with their types."""
        ...

    def store(self, rows: Mapping[str, Row], here: Mapping[str, Any]) -> Iterable[Refusal]:
        """Store these rows, of which those in `here` are there in another form; yields those that cannot be."""
        ...

    def own_id(self, row: Row) -> Any: ...

    def count(self) -> int: ...


def bring_over(
    source_name: str,
    pages: Iterable[tuple[int, Mapping[str, Row]]],
    total: int,
    destination: Destination[Row],
    *,
    on_refused: OnRefused | None,
    on_rows: OnRows,
) -> Transferred:
    """Bring all pages over, each given as how many rows were read and what they are by key.

    Nobody may write to either side meanwhile. With `on_refused` rows that cannot be stored are told and left out.
    Raises InvalidArgument for one without that, FailedPrecondition when rows are not what they were written as, or
    not as many as `total`.
    """
    found, done = Transferred(destination.name), 0
    for count, page in pages:
        here = destination.read(page)
        wanted = {
            key: row
            for key, row in page.items()
            if key not in here or not destination.is_same(here[key], row)
        }
        if wanted:
            refused = _stored(destination, wanted, here, on_refused)
            _prove(destination, {key: row for key, row in page.items() if key not in refused})
            found = replace(
                found,
                written=found.written + len(wanted) - len(refused),
                refused=found.refused + len(refused),
            )
        done += count
        found = replace(found, there_already=found.there_already + len(page) - len(wanted))
        on_rows(done, total)
    if done != total:
        raise pykyro.FailedPrecondition(
            f"{source_name} was written to while it was read: {total} rows at first, {done} read; do it again"
        )
    return replace(found, others=destination.count() - found.written - found.there_already)


def _stored(
    destination: Destination[Row],
    rows: Mapping[str, Row],
    here: Mapping[str, Any],
    on_refused: OnRefused | None,
) -> set[str]:
    """Store these rows; the keys of those that were refused."""
    refused: set[str] = set()
    for key, reason in destination.store(rows, here):
        text = f"collection {destination.name!r} row {destination.own_id(rows[key])!r:.200}: {reason}"
        if on_refused is None:
            raise pykyro.InvalidArgument(text, field="row") from (
                reason if isinstance(reason, Exception) else None
            )
        on_refused(text)
        refused.add(key)
    return refused


def _prove(destination: Destination[Row], rows: Mapping[str, Row]) -> None:
    here = destination.read(rows)
    for key, row in rows.items():
        if key not in here or not destination.is_same(here[key], row):
            raise pykyro.FailedPrecondition(
                f"collection {destination.name!r} row {destination.own_id(row)!r:.200} is not here as it is there; "
                "does somebody else write to it? Do it again"
            )
