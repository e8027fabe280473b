"""What a call brings, checked as Chroma checks it: ids, vectors, metadata, documents, one row for each id."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.integrations.chroma.errors import DuplicateIDError, InvalidArgumentError

DOCUMENT: Final = "chroma:document"
"""The entry of metadata that holds the document, as in a directory of Chroma."""
ORDER: Final = "chroma:order"
"""The entry that holds a number which grows with each row that is added: Chroma lists rows in that order."""
_RESERVED: Final = (DOCUMENT, ORDER)


@dataclass(slots=True)
class Row:
    """One row of a call. What is None stays as it is where the row is there already."""

    id: str
    vector: npt.NDArray[np.float32] | None
    metadata: dict[str, Any] | None
    document: str | None


@dataclass(slots=True)
class _Order:
    last: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> int:
        with self.lock:
            self.last = max(self.last + 1, time.time_ns())
            return self.last


_order: Final = _Order()


def checked_rows(ids: Any, vectors: Any, metadatas: Any, documents: Any) -> list[Row]:
    """The rows of a call; of what is not given, None in each. Raises ValueError, DuplicateIDError,
    InvalidArgumentError."""
    own_ids = checked_ids(ids)
    repeated = (
        sorted({one for one in own_ids if own_ids.count(one) > 1}) if len(set(own_ids)) < len(own_ids) else []
    )
    if repeated:
        raise DuplicateIDError(f"Expected IDs to be unique, found duplicates of: {', '.join(repeated)[:500]}")
    own_vectors = None if vectors is None else checked_vectors(vectors)
    own_metadatas = [metadatas] if isinstance(metadatas, Mapping) else metadatas
    own_documents = [documents] if isinstance(documents, str) else documents
    columns = {"embeddings": own_vectors, "metadatas": own_metadatas, "documents": own_documents}
    unequal = {name: len(column) for name, column in columns.items() if column is not None}
    if any(length != len(own_ids) for length in unequal.values()):
        lengths = ", ".join(f"{name}: {length}" for name, length in {"ids": len(own_ids), **unequal}.items())
        raise ValueError(f"Unequal lengths for fields: {lengths}")
    return [
        Row(
            one,
            None if own_vectors is None else own_vectors[at],
            None if own_metadatas is None else _checked_metadata(own_metadatas[at]),
            None if own_documents is None else _checked_document(own_documents[at]),
        )
        for at, one in enumerate(own_ids)
    ]


def checked_ids(ids: Any) -> list[str]:
    """The ids of a call, one text or many. Raises ValueError, InvalidArgumentError."""
    own = [ids] if isinstance(ids, str) else ids
    if not isinstance(own, (list, tuple)):
        raise ValueError(f"Expected IDs to be a list, got {type(ids).__name__}")
    if not own:
        raise ValueError("Expected IDs to be a non-empty list, got 0 IDs")
    for one in own:
        if not isinstance(one, str):
            raise ValueError(f"Expected ID to be a str, got {one!r:.200}")
        if not one:
            raise InvalidArgumentError("Empty ID, ID must have at least one character")
    return list(own)


def checked_vectors(vectors: Any) -> list[npt.NDArray[np.float32]]:
    """The vectors of a call, one or many, each of shape (dimension,). Raises ValueError, InvalidArgumentError."""
    if isinstance(vectors, np.ndarray):
        own: Sequence[Any] = [vectors] if vectors.ndim == 1 else list(vectors)
    elif isinstance(vectors, (list, tuple)) and vectors and isinstance(vectors[0], (int, float, np.number)):
        own = [vectors]
    else:
        own = vectors
    if not isinstance(own, (list, tuple)) or not own:
        raise ValueError(f"Expected Embeddings to be non-empty list or numpy array, got {vectors!r:.200}")
    try:
        rows = [np.array(one, dtype=np.float32) for one in own]
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected each embedding to be a list of numbers: {error}") from error
    for row in rows:
        if row.ndim != 1 or not row.size:
            raise ValueError(
                f"Expected each embedding to be a non-empty list of numbers, got shape {row.shape}"
            )
        if not np.isfinite(row).all():
            raise InvalidArgumentError(
                "Validation error: embeddings: Embeddings must not contain NaN or Infinity values"
            )
        if row.size != rows[0].size:
            raise InvalidArgumentError(
                f"Inconsistent dimensions in provided embeddings: {rows[0].size}, {row.size}"
            )
    return rows


def _checked_document(document: Any) -> str | None:
    if document is None or isinstance(document, str):
        return document
    raise ValueError(f"Expected document to be a str, got {document!r:.200}")


def _checked_metadata(metadata: Any) -> dict[str, Any] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise ValueError(f"Expected metadata to be a dict or None, got {type(metadata).__name__}")
    if not metadata:
        raise ValueError("Expected metadata to be a non-empty dict, got 0 metadata attributes")
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise ValueError(f"Expected metadata key to be a str, got {key!r:.200}")
        if key in _RESERVED:
            raise ValueError(f"Expected metadata to not contain the reserved key {key}")
        if not (value is None or isinstance(value, (str, int, float, list))):
            raise ValueError(
                f"Expected metadata value to be a str, int, float, bool, list, or None, got {value!r:.200} which "
                f"is a {type(value).__name__}"
            )
    return dict(metadata)


def stored_metadata(row: Row, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The metadata to store for a row, laid over what is `known` of it; None takes an entry away."""
    merged: dict[str, Any] = dict(known) if known is not None else {ORDER: _order.next()}
    merged.update(row.metadata or {})
    if row.document is not None:
        merged[DOCUMENT] = row.document
    return {key: value for key, value in merged.items() if value is not None}


def shown_metadata(stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row's metadata as the program knows it; None where there is none."""
    return {key: value for key, value in stored.items() if key not in _RESERVED} or None
