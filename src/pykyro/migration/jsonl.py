"""JSONL: a document a line, {"id": 7, "vector": [0.5, …], "metadata": {"k": "v"}, "namespace": "n", "tenant": "t"}.
Where ids are text, "id" is one.

Values of metadata are JSON of their type: a float has a point or an exponent, an integer neither. For what JSON has
not, and for objects whose only key begins with "$", see pykyro.model.value_json.

Components are written in nine significant digits, which reads back as the same 32 bits, also by way of float64: the
decimal is off by at most 5e-9 of the value, the edge to the next float32 is 2.9e-8 away. `namespace` and `tenant` are
left out where there is none, and so is `expires_at`, a time in ISO 8601: {"expires_at": "2030-01-31T12:00:00Z"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from pykyro.migration.directory_documents import PortableDocument
from pykyro.migration.rows import BadRow, Row
from pykyro.model.errors import InvalidArgument
from pykyro.model.expiry import as_datetime
from pykyro.model.limits import IMPORT_LINE_BYTES_MAX
from pykyro.model.scalars import shown_error, time_text
from pykyro.model.types import Vector
from pykyro.model.value_json import from_json, to_json
from pykyro.model.values import value_of

FIELDS: Final = ("id", "vector", "metadata", "namespace", "tenant", "expires_at")


def write_part(path: Path, documents: Iterable[PortableDocument]) -> None:
    """A file of these documents. Raises OSError."""
    with path.open("wb") as file:
        for document in documents:
            rest = json_line(details(document))
            vector = vector_text(document.vector)
            own_id = json.dumps(document.doc_id, ensure_ascii=False).encode()
            file.write(b'{"id":%b,"vector":[%b],%b' % (own_id, vector.encode(), rest[1:]))


def vector_text(vector: Vector) -> str:
    """The components, with commas between."""
    components = vector.tolist()
    if bool((np.signbit(vector) & (vector == 0)).any()):
        # Nine digits of minus zero are "-0", which JSON readers take for the integer.
        return ",".join(map(repr, components))
    return ",".join(["%.9g"] * len(components)) % tuple(components)


def details(document: PortableDocument) -> dict[str, Any]:
    """The fields of a document beside its id and its vector."""
    metadata = {key: to_json(value_of(text), key) for key, text in document.metadata.items()}
    found: dict[str, Any] = {"metadata": metadata}
    if document.namespace:
        found["namespace"] = document.namespace
    if document.tenant:
        found["tenant"] = document.tenant
    if instant := as_datetime(document.expires_us):
        found["expires_at"] = time_text(instant, "expires_at")
    return found


def json_line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class JsonlReader:
    """Rows of one file."""

    path: Path

    def rows(self, start: int) -> Iterator[Row | BadRow]:
        for number, found in objects(self.path, FIELDS, start):
            if isinstance(found, BadRow):
                yield found
            elif missing := [name for name in ("id", "vector") if name not in found]:
                yield BadRow(number, f"{' and '.join(missing)} missing")
            else:
                yield Row(
                    number,
                    found["id"],
                    _numbers(found["vector"]),
                    found.get("metadata"),
                    found.get("namespace", ""),
                    found.get("tenant", ""),
                    found.get("expires_at"),
                )


def objects(path: Path, fields: tuple[str, ...], start: int) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """The JSON object of each line after the first `start`, with its number. Raises InvalidArgument, OSError."""
    with path.open("rb") as file:
        for number, line in enumerate(_lines(path, file), 1):
            if number > start:
                yield number, _object(number, line, fields)


def _lines(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    number = 0
    while line := file.readline(IMPORT_LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > IMPORT_LINE_BYTES_MAX:
            raise InvalidArgument(f"{path} row {number}: the line exceeds {IMPORT_LINE_BYTES_MAX} bytes")
        yield line


def _object(number: int, line: bytes, fields: tuple[str, ...]) -> dict[str, Any] | BadRow:
    try:
        found = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(number, f"byte {error.start} of the line is not UTF-8: {error.reason}")
    except (ValueError, RecursionError) as error:
        return BadRow(number, f"the line is not JSON: {error}")
    if not isinstance(found, dict):
        return BadRow(number, f"the line must be a JSON object, got {type(found).__name__}")
    if unknown := [name for name in found if name not in fields]:
        return BadRow(number, f"field {unknown[0][:40]!r} is unknown: one of {', '.join(fields)}")
    metadata = found.get("metadata")
    if isinstance(metadata, dict):
        for key, tree in metadata.items():
            try:
                metadata[key] = from_json(tree)
            except (ValueError, RecursionError) as error:
                return BadRow(number, f"metadata.{key[:200]} is no value: {shown_error(error)}")
    return found


def _numbers(vector: object) -> object:
    """A list of numbers as float64, in which every float32 is exact; what is none is left for the check to name."""
    if isinstance(vector, list) and all(type(component) in (int, float) for component in vector):
        try:
            return np.array(vector, dtype=np.float64)
        except OverflowError:
            return vector
    return vector
