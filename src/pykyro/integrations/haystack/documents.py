"""Haystack's documents and the rows of the database, one from the other."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

import pykyro

CONTENT_KEY: Final = "__content__"
NO_EMBEDDING_KEY: Final = "__no_embedding__"
"""True in a document without an embedding, which has a vector that stands for none and is in no search's answer."""
_BLOB_KEY: Final = "__blob__"
_SPARSE_KEY: Final = "__sparse_embedding__"
_OWN_KEYS: Final = frozenset({CONTENT_KEY, NO_EMBEDDING_KEY, _BLOB_KEY, _SPARSE_KEY})

Row: TypeAlias = tuple[str, list[float], dict[str, Any]]


def rows_of(documents: object, dimension: int) -> list[Row]:
    """(id, vector, metadata) for each document; the score is not kept. Raises ValueError for what is no list of
    documents, as Haystack has it, and InvalidArgument for metadata with a key that is used here."""
    if not isinstance(documents, list) or not all(isinstance(one, Document) for one in documents):
        raise ValueError(f"documents must be a list of Document, got {type(documents).__name__}")
    return [(one.id, one.embedding or [1.0, *[0.0] * (dimension - 1)], _metadata(one)) for one in documents]


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise InvalidArgument for a key that is used here."""
    for key in _OWN_KEYS & meta.keys():
        raise pykyro.InvalidArgument(
            f"meta has the key {key!r}, which belongs to the document store: rename it", field=f"meta.{key}"
        )


def document_of(stored: pykyro.Hit | pykyro.StoredDocument) -> Document:
    """The document that was stored so, with its score if it was searched for, and its embedding if the vector is
    there."""
    entries = stored.metadata
    blob, sparse = entries.get(_BLOB_KEY), entries.get(_SPARSE_KEY)
    has_embedding = stored.vector is not None and NO_EMBEDDING_KEY not in entries
    return Document(
        id=stored.id,
        content=entries.get(CONTENT_KEY),
        blob=None if blob is None else _blob_of(blob),
        meta={key: value for key, value in entries.items() if key not in _OWN_KEYS},
        score=stored.score if isinstance(stored, pykyro.Hit) else None,
        embedding=stored.vector.tolist() if has_embedding and stored.vector is not None else None,
        sparse_embedding=None if sparse is None else SparseEmbedding.from_dict(json.loads(sparse)),
    )


def to_write(rows: Iterable[Row], policy: DuplicatePolicy, known: Collection[str]) -> list[Row]:
    """What `policy` has written of `rows`, where `known` are ids that are there. Raises DuplicateDocumentError."""
    if policy == DuplicatePolicy.OVERWRITE:
        return list(rows)
    seen, kept = set(known), []
    for row in rows:
        if row[0] not in seen:
            seen.add(row[0])
            kept.append(row)
        elif policy != DuplicatePolicy.SKIP:
            raise DuplicateDocumentError(
                f"a document with the id {row[0]!r} is there already; nothing is written"
            )
    return kept


def _metadata(document: Document) -> dict[str, Any]:
    check_meta(document.meta)
    metadata = dict(document.meta)
    if document.content is not None:
        metadata[CONTENT_KEY] = document.content
    if document.embedding is None:
        metadata[NO_EMBEDDING_KEY] = True
    if document.blob is not None:
        blob = document.blob
        data = base64.b64encode(blob.data).decode("ascii")
        metadata[_BLOB_KEY] = json.dumps({"data": data, "meta": blob.meta, "mime_type": blob.mime_type})
    if document.sparse_embedding is not None:
        metadata[_SPARSE_KEY] = json.dumps(document.sparse_embedding.to_dict())
    return metadata


def _blob_of(text: str) -> ByteStream:
    kept = json.loads(text)
    return ByteStream(base64.b64decode(kept["data"]), meta=kept["meta"], mime_type=kept["mime_type"])
