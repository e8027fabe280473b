"""Tables of documents: pandas DataFrames, pyarrow Tables and whatever else speaks Arrow, row by row.

The columns `id` and `vector` must be there; in pandas the index may be the id, if it is named so. A column `metadata`
holds dicts. Every other column is an entry of metadata under its name, or under what follows `metadata.` in it, and
counts before the same entry in `metadata`. A null (None, NaN, NaT, NA) is no entry, whatever the column, and so is
one in a struct of Arrow.

pandas and pyarrow are loaded when a caller brings such a table, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, TypeAlias

from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.model.scalars import shown, shown_error

TableRow: TypeAlias = tuple[Any, Any, Mapping[str, Any]]
"""Id, vector and metadata, not checked yet."""

ID, VECTOR, METADATA = "id", "vector", "metadata"
PREFIX: Final = "metadata."
_ROWS_TOGETHER: Final = 1024


def load(library: str, purpose: str) -> Any:
    """pandas or pyarrow. Raises FailedPrecondition that says what to install when it is not there."""
    try:
        return import_module(library)
    except ImportError as error:
        raise FailedPrecondition(f"{purpose} needs {library}: pip install 'pykyro[frames]'") from error


def is_frame(value: object) -> bool:
    """Whether this is a table with rows that `frame_rows` gives."""
    kind = type(value)
    return _is_pandas(value) or hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__arrow_c_array__")


def frame_rows(frame: Any) -> Iterator[TableRow]:
    """The rows of a table. Raises InvalidArgument when a column is missing or there twice, FailedPrecondition when
    pyarrow is needed and is not there."""
    if _is_pandas(frame):
        if ID not in frame.columns and frame.index.name == ID:
            frame = frame.reset_index()
        names = list(frame.columns)
        _check_names(names, frame)
        return _pandas_rows(frame, names)
    arrow = load("pyarrow", f"a table of {type(frame).__module__.partition('.')[0]}")
    try:
        if hasattr(type(frame), "__arrow_c_stream__"):
            reader = arrow.RecordBatchReader.from_stream(frame)
        else:
            batch = arrow.record_batch(frame)
            reader = arrow.RecordBatchReader.from_batches(batch.schema, [batch])
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise InvalidArgument(
            f"a {type(frame).__name__} is no table of documents: {shown_error(error)}", field="documents"
        ) from error
    _check_names(reader.schema.names, frame)
    return _arrow_rows(reader, arrow)


def key_of_column(name: str) -> str:
    """The key whose values a column holds."""
    return name[len(PREFIX) :] if name.startswith(PREFIX) else name


def _is_pandas(value: object) -> bool:
    kind = type(value)
    return kind.__module__.partition(".")[0] == "pandas" and hasattr(kind, "itertuples")


def _check_names(names: Sequence[Any], frame: object) -> None:
    for name in names:
        if not isinstance(name, str):
            raise InvalidArgument(
                f"the columns of a table must have texts as names, got {shown(name)}", field="documents"
            )
    for name in (ID, VECTOR):
        if name not in names:
            raise InvalidArgument(
                f"a table of documents must have the columns id and vector; {name} is missing among "
                f"{', '.join(names)[:200]}",
                field="documents",
            )
    keys = [key_of_column(name) for name in names if name not in (ID, VECTOR, METADATA)]
    for part in ([name for name in names if name in (ID, VECTOR, METADATA)], keys):
        if len(set(part)) < len(part):
            twice = next(name for name in part if part.count(name) > 1)
            raise InvalidArgument(
                f"the table has more than one column for {twice[:100]!r}", field="documents"
            )


def _pandas_rows(frame: Any, names: Sequence[str]) -> Iterator[TableRow]:
    for start in range(0, len(frame), _ROWS_TOGETHER):
        part = frame.iloc[start : start + _ROWS_TOGETHER]
        columns = {name: part[name].tolist() for name in names}
        nulls = {name: part[name].isna().tolist() for name in names}
        yield from _rows(columns, nulls, len(part))


def _arrow_rows(reader: Any, arrow: Any) -> Iterator[TableRow]:
    for whole in reader:
        for start in range(0, whole.num_rows, _ROWS_TOGETHER):
            batch = whole.slice(start, _ROWS_TOGETHER)
            columns = {
                name: _arrow_column(name, batch.column(at), arrow)
                for at, name in enumerate(batch.schema.names)
            }
            nulls = {name: [value is None for value in column] for name, column in columns.items()}
            yield from _rows(columns, nulls, batch.num_rows)


def _arrow_column(name: str, column: Any, arrow: Any) -> list[Any]:
    """The values of a column in Python, vectors as arrays of NumPy."""
    kind = column.type
    is_list = (
        arrow.types.is_list(kind) or arrow.types.is_large_list(kind) or arrow.types.is_fixed_size_list(kind)
    )
    if name == VECTOR and is_list:
        return [
            None if vector.values is None else vector.values.to_numpy(zero_copy_only=False)
            for vector in column
        ]
    if arrow.types.is_timestamp(kind) and kind.unit == "ns":
        # Python's datetime ends at microseconds.
        column = column.cast(arrow.timestamp("us", kind.tz), safe=False)
    values = column.to_pylist(maps_as_pydicts="lossy")
    return [_without_nulls(value) for value in values] if arrow.types.is_nested(kind) else values


def _without_nulls(value: Any) -> Any:
    """The value without the fields of structs that are null."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _rows(
    columns: Mapping[str, Sequence[Any]], nulls: Mapping[str, Sequence[bool]], count: int
) -> Iterator[TableRow]:
    others = [(name, key_of_column(name)) for name in columns if name not in (ID, VECTOR, METADATA)]
    for at in range(count):
        metadata: Any = {}
        if METADATA in columns and not nulls[METADATA][at]:
            metadata = columns[METADATA][at]
        entries = {key: columns[name][at] for name, key in others if not nulls[name][at]}
        if entries:
            # What is no dict is left for the check to name.
            metadata = {**metadata, **entries} if isinstance(metadata, Mapping) else metadata
        yield columns[ID][at], columns[VECTOR][at], metadata
