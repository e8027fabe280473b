"""Bringing the collections of Chroma over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

import pykyro
from pykyro.integrations.chroma.client import ClientAPI
from pykyro.integrations.chroma.collection import Collection
from pykyro.integrations.chroma.errors import InvalidArgumentError, NotFoundError
from pykyro.integrations.transfers.pages import (
    OnRefused,
    OnRows,
    Refusal,
    Transferred,
    bring_over,
    silent,
)

URI: Final = "chroma:uri"
"""The entry of metadata that keeps the URI of a row, as in a directory of Chroma."""
_PAGE: Final = 1000
_EVERYTHING: Final = ("embeddings", "metadatas", "documents")


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    vector: bytes
    metadata: dict[str, tuple[type, Any]]
    document: str | None


def transfer(
    source: Any,
    name: str,
    destination: ClientAPI,
    *,
    on_refused: OnRefused | None = None,
    on_rows: OnRows = silent,
) -> Transferred:
    """Bring collection `name` of `source`, a client of chromadb, over to `destination`, and compare each row.

    Nobody may write to it meanwhile. With `on_refused` rows that cannot be stored are told and left out. Raises
    InvalidArgument for a row that cannot be stored, FailedPrecondition when a collection of that name is there with
    another distance, or when rows are not what they were written as.
    """
    theirs = source.get_collection(name, embedding_function=None)
    ours = _Destination(_made(theirs, destination))
    return bring_over(
        f"collection {name!r}", _pages(theirs), theirs.count(), ours, on_refused=on_refused, on_rows=on_rows
    )


def _pages(theirs: Any) -> Iterator[tuple[int, Mapping[str, _Row]]]:
    done = 0
    while page := _rows(theirs.get(limit=_PAGE, offset=done, include=[*_EVERYTHING, "uris"])):
        done += len(page)
        yield len(page), page


def _made(theirs: Any, destination: ClientAPI) -> Collection:
    """The collection to write into, with the distance and the metadata of theirs."""
    hnsw = dict((theirs.configuration or {}).get("hnsw") or {})
    try:
        ours = destination.get_collection(theirs.name)
    except NotFoundError:
        said = {key: value for key, value in hnsw.items() if key in ("space", "max_neighbors")}
        return destination.create_collection(
            theirs.name, metadata=theirs.metadata, configuration={"hnsw": said}
        )
    space = ours.configuration["hnsw"]["space"]
    if space != hnsw.get("space", "l2"):
        raise pykyro.FailedPrecondition(
            f"collection {theirs.name!r} is there already, with distance {space}; the one to import has "
            f"{hnsw.get('space', 'l2')}: delete or rename one of them"
        )
    return ours


class _Destination:
    """A collection here, as programs written for Chroma see it."""

    def __init__(self, collection: Collection) -> None:
        self.name = collection.name
        self._collection = collection

    def read(self, rows: Mapping[str, _Row]) -> dict[str, _Row]:
        return _rows(self._collection.get(ids=[*rows], include=_EVERYTHING)) if rows else {}

    def is_same(self, here: _Row, row: _Row) -> bool:
        return here == row

    def store(self, rows: Mapping[str, _Row], here: Mapping[str, _Row]) -> Iterable[Refusal]:
        replaced = [own_id for own_id in rows if own_id in here]
        if replaced:
            self._collection.delete(ids=replaced)
        try:
            self._add(rows)
            return
        except (InvalidArgumentError, ValueError):
            pass
        # One of them is at fault; the others are added alone, so that it can be named.
        for own_id, row in rows.items():
            try:
                self._add({own_id: row})
            except (InvalidArgumentError, ValueError) as error:
                yield own_id, error

    def _add(self, rows: Mapping[str, _Row]) -> None:
        texts: Any = [row.document for row in rows.values()]
        self._collection.add(
            ids=[*rows],
            embeddings=[np.frombuffer(row.vector, dtype=np.float32) for row in rows.values()],
            metadatas=[
                {key: value for key, (_, value) in row.metadata.items()} or None for row in rows.values()
            ],
            documents=texts,
        )

    def own_id(self, row: _Row) -> str:
        return row.id

    def count(self) -> int:
        return self._collection.count()


def _rows(found: Mapping[str, Any]) -> dict[str, _Row]:
    """The rows of an answer of `get` by id: vectors to the bit, values with their types."""
    uris = found["uris"] or [None] * len(found["ids"])
    rows: dict[str, _Row] = {}
    for own_id, vector, metadata, document, uri in zip(
        found["ids"], found["embeddings"], found["metadatas"], found["documents"], uris, strict=True
    ):
        said = dict(metadata or {}) | ({} if uri is None else {URI: uri})
        typed = {key: (type(value), value) for key, value in said.items()}
        rows[own_id] = _Row(own_id, np.array(vector, dtype=np.float32).tobytes(), typed, document)
    return rows
