"""Hits and documents as a table: a pandas DataFrame or a pyarrow Table, with the columns that `insert_many` takes.

    id        uint64; text where ids are
    score     float32; of hits
    vector    float32, all of one length; where vectors were asked for
    and a column for each key of metadata, named as the key

A key that could be taken for one of these columns has `metadata.` before its name. A document without an entry, or
with None, has a null there. A column has one type when its values do; integers and floats become floats where that
loses nothing. Of other values pandas keeps the objects, and Arrow has the text forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from pykyro.model.frames import ID, METADATA, PREFIX, VECTOR, load
from pykyro.model.values import text_form

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pykyro.model.answers import Hit, StoredDocument

    Rows: TypeAlias = Iterable[Hit | StoredDocument | None]

SCORE: Final = "score"
_TAKEN: Final = frozenset({ID, SCORE, VECTOR, METADATA})
_INT64_MAX: Final = 2**63 - 1


def to_arrow(documents: Rows, *, scores: bool = False) -> pa.Table:
    """These hits or documents, None left out, as a pyarrow Table; `scores` has the column also when there are none.

    Raises FailedPrecondition when pyarrow is not installed.
    """
    arrow = load("pyarrow", "to_arrow")
    columns = _columns(documents, scores)
    vectors = columns.get(VECTOR)
    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        if name == ID:
            arrays[name] = arrow.array(values, arrow.string() if _are_texts(values) else arrow.uint64())
        elif name == SCORE:
            arrays[name] = arrow.array(np.array(values, np.float32))
        elif values is vectors:
            length = next(len(vector) for vector in values if vector is not None)
            arrays[name] = arrow.array(values, arrow.list_(arrow.float32(), length))
        else:
            arrays[name] = _arrow_array(name, values, arrow)
    return arrow.table(arrays)


def to_pandas(documents: Rows, *, scores: bool = False) -> pd.DataFrame:
    """These hits or documents, None left out, as a pandas DataFrame; `scores` has the column also when there are
    none.

    Raises FailedPrecondition when pandas is not installed.
    """
    pandas = load("pandas", "to_pandas")
    columns = _columns(documents, scores)
    series: dict[str, Any] = {}
    for name, values in columns.items():
        if name == SCORE or (name == ID and not _are_texts(values)):
            series[name] = np.array(values, np.uint64 if name == ID else np.float32)
        else:
            series[name] = pandas.Series(values, dtype=_pandas_type(values, pandas))
    return pandas.DataFrame(series)


def _columns(documents: Rows, scores: bool) -> dict[str, list[Any]]:
    """The columns by their names; None where there is no value."""
    there = [document for document in documents if document is not None]
    columns: dict[str, list[Any]] = {ID: [document.id for document in there]}
    found = [getattr(document, SCORE, None) for document in there]
    if scores or (found and None not in found):
        columns[SCORE] = found
    if any(document.vector is not None for document in there):
        columns[VECTOR] = [document.vector for document in there]
    metadata: list[Mapping[str, Any]] = [document.metadata for document in there]
    for key in dict.fromkeys(key for entries in metadata for key in entries):
        name = PREFIX + key if key in _TAKEN or key.startswith(PREFIX) else key
        columns[name] = [entries.get(key) for entries in metadata]
    return columns


def _are_texts(ids: list[Any]) -> bool:
    return bool(ids) and isinstance(ids[0], str)


def _kinds(values: Iterable[Any]) -> set[type]:
    return {datetime if isinstance(value, datetime) else type(value) for value in values if value is not None}


def _are_exact(values: Iterable[Any]) -> bool:
    """Whether integers and floats can all be float64."""
    return all(value is None or abs(value) <= 1 << 53 or isinstance(value, float) for value in values)


def _pandas_type(values: list[Any], pandas: Any) -> Any:
    """The type of a column; object keeps the values as they are."""
    kinds, has_nulls = _kinds(values), any(value is None for value in values)
    if not kinds <= {bool, int, float, datetime}:
        return "object"
    if kinds == {bool}:
        return "boolean" if has_nulls else "bool"
    if kinds == {int}:
        if max(value for value in values if value is not None) <= _INT64_MAX:
            return "Int64" if has_nulls else "int64"
        if min(value for value in values if value is not None) >= 0:
            return "UInt64" if has_nulls else "uint64"
    if kinds == {float} or (kinds == {int, float} and _are_exact(values)):
        return "float64"
    if kinds == {datetime}:
        return pandas.DatetimeTZDtype("us", "UTC")
    return "object"


def _arrow_array(name: str, values: list[Any], arrow: Any) -> Any:
    kinds = _kinds(values)
    if kinds == {int, float} and _are_exact(values):
        return arrow.array([None if value is None else float(value) for value in values], arrow.float64())
    if kinds == {int} and any(value > _INT64_MAX for value in values if value is not None):
        if any(value < 0 for value in values if value is not None):
            kinds = {int, str}
        else:
            return arrow.array(values, arrow.uint64())
    if kinds == {datetime}:
        return arrow.array(values, arrow.timestamp("us", "UTC"))
    if len(kinds) <= 1:
        try:
            return arrow.array(values)
        except (arrow.ArrowInvalid, arrow.ArrowTypeError):
            pass  # Lists of values of several types, or dicts that differ in the types of theirs.
    texts = [None if value is None else str.__str__(text_form(value, name)) for value in values]
    return arrow.array(texts, arrow.string())
