"""What a transfer reads: a table of another database as rows with ids, vectors and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

import pykyro

PAGE: Final = 1000
"""Rows that are in memory at once."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row: `id` an int or text, `vector` float32 of shape (dimension,)."""

    id: Any
    vector: npt.NDArray[np.float32]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A table. `pages` yields its rows, each once, a page of up to PAGE at a time; it can be gone through once."""

    name: str
    dimension: int
    distance: str | None
    """None where the table does not say for which distance its vectors are made."""
    id_type: pykyro.IdType
    total: int
    pages: Iterator[list[SourceRow]]


def row_of(columns: Mapping[str, Any], id_column: str, vector_column: str) -> SourceRow:
    """The row with these columns: those but the two are its metadata, without those that are null."""
    metadata = {
        name: value_of(value)
        for name, value in columns.items()
        if name not in (id_column, vector_column) and value is not None
    }
    return SourceRow(
        id_of(columns[id_column]), np.asarray(columns[vector_column], dtype=np.float32), metadata
    )


def id_of(value: Any) -> Any:
    """An id as a collection has it: an int, or text."""
    return int(value) if isinstance(value, (int, np.integer)) else str(value)


def value_of(value: Any) -> Any:
    """A value as metadata keeps it. Dates, times, decimals and UUIDs become text; a datetime with a zone stays one.
    What has no place in metadata is left as it is, and the row is refused."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value.is_finite() else str(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value_of(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): value_of(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [value_of(inner) for inner in value]
    return value


def chosen_column(named: str | None, candidates: list[str], what: str, table: str, preferred: str) -> str:
    """The column that is named, or the only candidate, or the preferred one. Raises InvalidArgument."""
    if named is not None:
        if named not in candidates:
            raise pykyro.InvalidArgument(
                f"{table} has no {what} {named!r}; it has {', '.join(candidates) or 'none'}", field=what
            )
        return named
    if preferred in candidates:
        return preferred
    if len(candidates) != 1:
        raise pykyro.InvalidArgument(
            f"{table} has {len(candidates)} columns that could be the {what} ({', '.join(candidates) or 'none'}): "
            f"name one by --{what}-column",
            field=what,
        )
    return candidates[0]
