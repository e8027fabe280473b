"""Parquet, through pyarrow (the `parquet` extra).

    id         uint64; string where ids are text
    vector     fixed_size_list<float32>[dimension]
    metadata   map<string, string>: values in their text form (pykyro.model.typed_text)
    namespace  string, null for none
    tenant     string, null for none; only in an export of all tenants
    metadata_types  string: the tag of each entry of metadata, by ascending key; null when all are texts
    expires_at      timestamp in microseconds, UTC: when the document goes; null when it stays

Read are also lists of any numbers, ids that are integers of any width, metadata as a struct or a map of other values,
and files without the last five.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pykyro.migration.directory_documents import PortableDocument
from pykyro.migration.parquet_text import is_text, metadata_value
from pykyro.migration.rows import BadRow, Row
from pykyro.model.arguments import groups
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import (
    DIMENSION_MAX,
    EXPORT_BATCH_BYTES_MAX,
    EXPORT_BATCH_ROWS_MAX,
    METADATA_ENTRIES_MAX,
)
from pykyro.model.typed_text import tags_of, with_tags
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.descriptors import open_descriptor

import pyarrow as pa  # isort: skip
import pyarrow.parquet as pq  # isort: skip

_COLUMNS: Final = ("id", "vector", "metadata", "namespace", "tenant", "metadata_types", "expires_at")
_READ_ROWS: Final = 256


def write_part(
    path: Path,
    documents: Iterable[PortableDocument],
    dimension: int,
    *,
    tenants: bool,
    text_ids: bool = False,
) -> None:
    """A file of these documents, a row group for every 16 MiB of them. Raises OSError."""
    fields = [
        pa.field("id", pa.string() if text_ids else pa.uint64(), nullable=False),
        pa.field("vector", pa.list_(pa.field("element", pa.float32(), nullable=False), dimension)),
        pa.field("metadata", pa.map_(pa.string(), pa.string())),
        pa.field("namespace", pa.string()),
    ]
    if tenants:
        fields.append(pa.field("tenant", pa.string()))
    fields += [pa.field("metadata_types", pa.string()), pa.field("expires_at", pa.timestamp("us", "UTC"))]
    schema = pa.schema(fields)
    # Random mantissas do not compress, and a dictionary of them is larger than they are.
    with (
        _native_name(path, os.O_CREAT | os.O_WRONLY) as name,
        pq.ParquetWriter(
            name, schema, compression="snappy", use_dictionary=["namespace", "tenant", "metadata_types"]
        ) as writer,
    ):
        for batch in groups(
            documents,
            count_max=EXPORT_BATCH_ROWS_MAX,
            bytes_max=EXPORT_BATCH_BYTES_MAX,
            bytes_of=lambda document: document.size_bytes,
        ):
            writer.write_batch(_batch(batch, schema, dimension))


def _batch(documents: list[PortableDocument], schema: Any, dimension: int) -> Any:
    components = np.concatenate([document.vector for document in documents])
    columns = {
        "id": [document.doc_id for document in documents],
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(components, pa.float32()), type=schema.field("vector").type
        ),
        "metadata": [list(document.metadata.items()) for document in documents],
        "namespace": [document.namespace or None for document in documents],
        "tenant": [document.tenant or None for document in documents],
        "metadata_types": [tags_of(document.metadata) or None for document in documents],
        "expires_at": [document.expires_us or None for document in documents],
    }
    return pa.record_batch(
        [
            column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
            for field in schema
            for column in (columns[field.name],)
        ],
        schema=schema,
    )


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Rows of one file."""

    path: Path

    def rows(self, start: int) -> Iterator[Row | BadRow]:
        number = 0
        with _readable(self.path), _opened(self.path) as file:
            columns = self._columns(file.schema_arrow)
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                self._require_sane(file.metadata.row_group(group), number)
                if number + rows <= start:
                    number += rows
                    continue
                for batch in file.iter_batches(_READ_ROWS, row_groups=[group], columns=columns):
                    for at in range(batch.num_rows):
                        number += 1
                        if number > start:
                            yield _row(number, batch, at)

    def _require_sane(self, group: Any, before: int) -> None:
        """A few bytes can stand for any number of equal values: count them before they are made."""
        for at in range(group.num_columns):
            column = group.column(at)
            name = column.path_in_schema.partition(".")[0]
            most = group.num_rows * (DIMENSION_MAX if name == "vector" else METADATA_ENTRIES_MAX)
            if name in _COLUMNS and column.num_values > most:
                raise InvalidArgument(
                    f"{self.path} rows {before + 1} to {before + group.num_rows}: column {name!r} has "
                    f"{column.num_values} values; the maximum for so many rows is {most}"
                )

    def _columns(self, schema: Any) -> list[str]:
        for name in ("id", "vector"):
            if name not in schema.names:
                raise InvalidArgument(
                    f"{self.path}: column {name!r} is missing; the file has {', '.join(schema.names)[:400]}"
                )
        if twice := [name for name in _COLUMNS if schema.names.count(name) > 1]:
            raise InvalidArgument(f"{self.path}: column {twice[0]!r} is there more than once")
        kind = schema.field("vector").type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            raise InvalidArgument(f"{self.path}: column 'vector' must be a list of numbers, it is {kind}")
        return [name for name in _COLUMNS if name in schema.names]


def _opened(path: Path) -> Any:
    """The file, its texts kept as numbers of a dictionary: equal long ones, which take no room in a file, would else
    be made again for each row."""
    with _native_name(path, os.O_RDONLY) as name:
        with pq.ParquetFile(name, memory_map=True) as file:
            leaves = [file.metadata.schema.column(at) for at in range(len(file.metadata.schema))]
            texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        return pq.ParquetFile(name, memory_map=True, read_dictionary=texts)


@contextlib.contextmanager
def _native_name(path: Path, flags: int) -> Iterator[str]:
    """A name under which Arrow, which takes text alone, can open the file: where its own is no text, that of an open
    descriptor. Raises OSError."""
    text = LocalFileSystem().native_path(path)
    if text is not None:
        yield text
        return
    descriptor = open_descriptor(path, flags, 0o666)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _row(number: int, batch: Any, at: int) -> Row | BadRow:
    try:
        values = {name: batch.column(name)[at] for name in batch.schema.names}
        vector = values["vector"].values
        if vector is None:
            return BadRow(number, "vector is null")
        return Row(
            number,
            values["id"].as_py(),
            vector.to_numpy(zero_copy_only=False),
            _with_types(values),
            values["namespace"].as_py() if "namespace" in values else "",
            values["tenant"].as_py() if "tenant" in values else "",
            values["expires_at"].as_py() if "expires_at" in values else None,
        )
    except InvalidArgument as fault:
        return BadRow(number, str(fault))
    except UnicodeDecodeError as error:
        return BadRow(number, f"text is not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, TypeError) as error:
        return BadRow(number, f"the row cannot be read: {error}")


def _with_types(values: dict[str, Any]) -> object:
    """The metadata of a row, its texts with the types the row names."""
    metadata = _metadata(values["metadata"]) if "metadata" in values else None
    tags = values["metadata_types"].as_py() if "metadata_types" in values else None
    if not tags or not isinstance(metadata, dict):
        return metadata
    if not isinstance(tags, str) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidArgument("metadata_types is for metadata of texts, and is a text itself")
    if len(tags) != len(metadata):
        raise InvalidArgument(
            f"metadata_types has {len(tags)} tags, one for each of the {len(metadata)} entries of metadata is needed"
        )
    return with_tags(metadata, tags)


def _metadata(column: Any) -> object:
    """The entries of a map or a struct; what is neither is left for the check to name."""
    if not column.is_valid:
        return None
    if pa.types.is_map(column.type) and is_text(column.type.item_type):
        # The types of an export, which take most of the time of reading it.
        entries = column.as_py()
    elif pa.types.is_map(column.type):
        keys = ((entry["key"].as_py(), entry["value"]) for entry in column.values)
        entries = [(key, metadata_value(value, f"metadata.{key}")) for key, value in keys]
    elif pa.types.is_struct(column.type):
        names = dict.fromkeys(field.name for field in column.type)
        entries = [(name, metadata_value(column[name], f"metadata.{name}")) for name in names]
    else:
        return column.as_py()
    return {key: value for key, value in entries if value is not None}


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} is not a usable Parquet file: {error}") from error
    except OSError as error:
        # An OSError of pyarrow for pages that do not decompress has no errno; the system's own errors have one.
        if error.errno is None:
            raise InvalidArgument(f"{path} is not a usable Parquet file: {error}") from error
        raise
