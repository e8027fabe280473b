"""A table of LanceDB, and Parquet files of any columns: rows by Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pykyro
from pykyro.integrations.extras import needs_extra
from pykyro.integrations.transfers.source import PAGE, Source, SourceRow, chosen_column, row_of

_DISTANCES: Final = {"l2": "euclidean", "cosine": "cosine", "dot": "innerproduct"}


def lance_source(uri: str, table: str, id_column: str | None, vector_column: str | None) -> Source:
    """The rows of a table as they are now. Raises InvalidArgument, FailedPrecondition."""
    try:
        with needs_extra("import-lancedb", "lancedb"):
            import lancedb
    except ModuleNotFoundError as error:
        raise pykyro.FailedPrecondition(str(error)) from error
    try:
        opened = lancedb.connect(uri).open_table(table)
    except (ValueError, RuntimeError, OSError) as error:
        raise pykyro.InvalidArgument(f"LanceDB {uri} table {table!r}: {error}", field="collection") from error
    opened.checkout(opened.version)  # what is written from now on is not seen
    own_id, vector = _columns(opened.schema, table, id_column, vector_column)
    return Source(
        name=table,
        dimension=_dimension(opened.schema, vector, ()),
        distance=_distance_of(opened, vector),
        id_type=_id_type(opened.schema, own_id),
        total=opened.count_rows(),
        pages=_pages(opened.search().limit(opened.count_rows() or 1).to_batches(PAGE), own_id, vector),
    )


def parquet_source(path: Path, id_column: str | None, vector_column: str | None) -> Source:
    """The rows of a file, or of the files *.parquet in a directory by their names. Raises InvalidArgument,
    FailedPrecondition."""
    try:
        with needs_extra("parquet", "pyarrow"):
            import pyarrow as pa
            import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise pykyro.FailedPrecondition(str(error)) from error
    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not paths:
        raise pykyro.InvalidArgument(f"{path} has no file *.parquet", field="in")
    try:
        files = [pq.ParquetFile(one) for one in paths]
    except (OSError, pa.ArrowException) as error:
        raise pykyro.InvalidArgument(f"{path}: {error}", field="in") from error
    schema = files[0].schema_arrow
    for one, name in zip(files, paths, strict=True):
        if not one.schema_arrow.equals(schema):
            raise pykyro.InvalidArgument(f"{name} has other columns than {paths[0]}", field="in")
    own_id, vector = _columns(schema, str(path), id_column, vector_column)
    batches = (batch for one in files for batch in one.iter_batches(PAGE))
    first = next((one.iter_batches(1) for one in files if one.metadata.num_rows), iter(()))
    return Source(
        name=path.stem,
        dimension=_dimension(schema, vector, first),
        distance=None,
        id_type=_id_type(schema, own_id),
        total=sum(one.metadata.num_rows for one in files),
        pages=_pages(batches, own_id, vector),
    )


def _columns(schema: Any, table: str, id_column: str | None, vector_column: str | None) -> tuple[str, str]:
    import pyarrow as pa

    def is_vector(kind: Any) -> bool:
        listed = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return bool(listed and pa.types.is_floating(kind.value_type))

    vectors = [one.name for one in schema if is_vector(one.type)]
    ids = [one.name for one in schema if pa.types.is_integer(one.type) or _is_text(one.type)]
    return (
        chosen_column(id_column, ids, "id", table, "id"),
        chosen_column(vector_column, vectors, "vector", table, "vector"),
    )


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _id_type(schema: Any, own_id: str) -> pykyro.IdType:
    return "text" if _is_text(schema.field(own_id).type) else "integer"


def _dimension(schema: Any, vector: str, first: Iterable[Any]) -> int:
    size = getattr(schema.field(vector).type, "list_size", None)
    if size is not None:
        return int(size)
    for batch in first:
        return len(batch.column(batch.schema.get_field_index(vector))[0].as_py() or ())
    raise pykyro.InvalidArgument("there is no row, so nothing says the dimension", field="in")


def _distance_of(table: Any, vector: str) -> str | None:
    for index in table.list_indices():
        if list(index.columns) == [vector]:
            return _DISTANCES.get(str(table.index_stats(index.name).distance_type).lower())
    return None


def _pages(batches: Iterable[Any], own_id: str, vector: str) -> Iterator[list[SourceRow]]:
    for batch in batches:
        for begin in range(0, batch.num_rows, PAGE):
            yield [row_of(row, own_id, vector) for row in batch.slice(begin, PAGE).to_pylist()]
