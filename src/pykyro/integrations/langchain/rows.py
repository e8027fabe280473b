"""LangChain's documents and the rows of the database, one from the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import uuid4

from langchain_core.documents import Document

import pykyro

CONTENT_KEY: Final = "__page_content__"
"""The metadata entry that holds `page_content`. A document whose metadata has an entry of that name is refused."""

Row: TypeAlias = tuple[str, Sequence[float], dict[str, Any]]


def rows_of(
    texts: Sequence[str],
    vectors: Sequence[Sequence[float]],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
    content_key: str,
) -> list[Row]:
    """(id, vector, metadata) for each text; an id that is not given is a new UUID.

    Raises ValueError when there are not as many of each, as LangChain has it, and InvalidArgument when metadata has
    an entry `content_key`.
    """
    for name, given in (("vectors", vectors), ("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"{name} must be as many as the texts, got {len(given)} for {len(texts)}")
    rows = []
    for at, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        metadata = dict(metadatas[at] or {}) if metadatas is not None else {}
        if content_key in metadata:
            raise pykyro.InvalidArgument(
                f"metadatas[{at}] has the key {content_key!r}, under which the text of a document is kept: rename "
                "it, or give the store another content_key",
                field=f"metadatas[{at}]",
            )
        metadata[content_key] = text
        doc_id = ids[at] if ids is not None else None
        rows.append((str(uuid4()) if doc_id is None else doc_id, vector, metadata))
    return rows


def documents_of(found: Iterable[pykyro.Hit | pykyro.StoredDocument], content_key: str) -> list[Document]:
    """The documents that were stored so; of one stored by another program all metadata, and no text."""
    documents = []
    for one in found:
        metadata = dict(one.metadata)
        text = metadata.pop(content_key, "")
        if not isinstance(text, str):
            # Another program's entry of that name.
            metadata[content_key], text = text, ""
        documents.append(Document(id=one.id, page_content=text, metadata=metadata))
    return documents
