"""Bringing the collections of Chroma over, row by row, and proving that what is here is what is there.

A page of rows is read there and here, compared, written where it differs, and read and compared again. So a transfer
that broke off goes on when it is begun again, with nothing to remember but the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

import pykyro
from pykyro.integrations.chroma.client import ClientAPI
from pykyro.integrations.chroma.collection import Collection
from pykyro.integrations.chroma.errors import InvalidArgumentError, NotFoundError

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


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of the rows of one collection."""

    name: str
    written: int = 0
    there_already: int = 0
    refused: int = 0
    others: int = 0
    """Rows of the collection here that the one there has not."""


def transfer(
    source: Any,
    name: str,
    destination: ClientAPI,
    *,
    on_refused: Callable[[str], None] | None = None,
    on_rows: Callable[[int, int], None] = lambda done, total: None,
) -> Transferred:
    """Bring collection `name` of `source`, a client of chromadb, over to `destination`, and compare each row.

    Nobody may write to it meanwhile. With `on_refused` rows that cannot be stored are told and left out. Raises
    InvalidArgument for a row that cannot be stored, FailedPrecondition when a collection of that name is there with
    another distance, or when rows are not what they were written as.
    """
    theirs = source.get_collection(name, embedding_function=None)
    ours = _made(theirs, destination)
    total, done = theirs.count(), 0
    found = Transferred(name)
    while page := _rows(theirs.get(limit=_PAGE, offset=done, include=[*_EVERYTHING, "uris"])):
        here = _rows(ours.get(ids=[*page], include=_EVERYTHING))
        wanted = {one.id: one for one in page.values() if here.get(one.id) != one}
        replaced = [own_id for own_id in wanted if own_id in here]
        if replaced:
            ours.delete(ids=replaced)
        refused = _stored(ours, wanted, on_refused)
        _prove(ours, {own_id: row for own_id, row in page.items() if own_id not in refused})
        done += len(page)
        found = replace(
            found,
            written=found.written + len(wanted) - len(refused),
            there_already=found.there_already + len(page) - len(wanted),
            refused=found.refused + len(refused),
        )
        on_rows(done, total)
    if done != total:
        raise pykyro.FailedPrecondition(
            f"collection {name!r} was written to while it was read: {total} rows at first, {done} read; do it again"
        )
    return replace(found, others=ours.count() - found.written - found.there_already)


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


def _stored(ours: Collection, rows: Mapping[str, _Row], on_refused: Callable[[str], None] | None) -> set[str]:
    """Add these rows; the ids of those that were refused."""
    if not rows:
        return set()
    try:
        _add(ours, rows)
        return set()
    except (InvalidArgumentError, ValueError):
        refused: set[str] = set()
    # One of them is at fault; the others are added alone, so that it can be named.
    for own_id, row in rows.items():
        try:
            _add(ours, {own_id: row})
        except (InvalidArgumentError, ValueError) as error:
            text = f"collection {ours.name!r} row {own_id!r:.200}: {error}"
            if on_refused is None:
                raise pykyro.InvalidArgument(text, field="row") from error
            on_refused(text)
            refused.add(own_id)
    return refused


def _add(ours: Collection, rows: Mapping[str, _Row]) -> None:
    texts: Any = [row.document for row in rows.values()]
    ours.add(
        ids=[*rows],
        embeddings=[np.frombuffer(row.vector, dtype=np.float32) for row in rows.values()],
        metadatas=[{key: value for key, (_, value) in row.metadata.items()} or None for row in rows.values()],
        documents=texts,
    )


def _prove(ours: Collection, rows: Mapping[str, _Row]) -> None:
    here = _rows(ours.get(ids=[*rows], include=_EVERYTHING)) if rows else {}
    for own_id, row in rows.items():
        if here.get(own_id) != row:
            raise pykyro.FailedPrecondition(
                f"collection {ours.name!r} row {own_id!r:.200} is not here as it is there; does somebody else "
                "write to it? Do it again"
            )


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
