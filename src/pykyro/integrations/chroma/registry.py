"""Which collections a program has made, by the names and with the metadata that Chroma gives them.

Chroma's collections exist before their dimension is known, have metadata of their own, and change their names. So a
collection of the database, CATALOGUE, holds a document for each, by name; the rows are in a collection of their own,
which the first vector makes.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pykyro
from pykyro.integrations.chroma.errors import InternalError, InvalidArgumentError, NotFoundError
from pykyro.integrations.places import SyncCollection, SyncDatabase

CATALOGUE: Final = "chroma.collections"
SPACES: Final[dict[str, pykyro.Distance]] = {"l2": "euclidean", "cosine": "cosine", "ip": "innerproduct"}
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")
_OWN_NAME_CHARS: Final = 64
_OF_THE_DATABASE: Final = "default"
_NO_VECTOR: Final = (1.0,)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a collection. `data` is the collection of the database with its rows, "" while it has none."""

    name: str
    id: str
    data: str
    metadata: dict[str, Any] | None
    hnsw: dict[str, Any]
    """`space`, and what else was said of m, ef_construction and ef_search."""
    created: int


class Registry:
    """The entries of one database."""

    def __init__(self, database: SyncDatabase) -> None:
        self.database: Final = database
        self._catalogue: Final = database.collection(CATALOGUE)

    def entry(self, name: str) -> Entry:
        """The entry of this name. Raises NotFoundError."""
        try:
            found = self._catalogue.get(name, include_vector=False) if _is_name(name) else None
        except pykyro.NotFound:
            found = None
        if found is None:
            raise NotFoundError(f"Collection [{name}] does not exist")
        return _entry(found)

    def entries(self) -> list[Entry]:
        """All of them, in the order in which they were made."""
        try:
            return [_entry(one) for one in self._catalogue.documents(order_by="created")]
        except pykyro.NotFound:
            return []

    def create(self, name: str, metadata: dict[str, Any] | None, hnsw: dict[str, Any]) -> Entry:
        """Make an entry. Raises InternalError when the name is taken, InvalidArgumentError."""
        checked_name(name)
        self.database.create_collection(CATALOGUE, 1, "euclidean", id_type="text", exist_ok=True)
        entry = Entry(name, str(uuid.uuid4()), "", metadata, hnsw, time.time_ns())
        self._insert(entry)
        return entry

    def _insert(self, entry: Entry) -> None:
        try:
            self._catalogue.insert(entry.name, _NO_VECTOR, _as_metadata(entry), if_absent=True)
        except pykyro.AlreadyExists as error:
            raise InternalError(f"Collection [{entry.name}] already exists") from error

    def rename(self, entry: Entry, name: str) -> None:
        """Give an entry another name; its rows stay where they are."""
        checked_name(name)
        self._insert(Entry(name, entry.id, entry.data, entry.metadata, entry.hnsw, entry.created))
        self._catalogue.delete(entry.name)

    def set_metadata(self, entry: Entry, metadata: dict[str, Any] | None) -> None:
        """Replace the metadata of a collection. Raises NotFoundError."""
        if not self._catalogue.update_metadata(entry.name, {"metadata": metadata}, merge=True):
            raise NotFoundError(f"Collection [{entry.name}] does not exist")

    def delete(self, entry: Entry) -> None:
        """Remove a collection and its rows."""
        if not self._catalogue.delete(entry.name):
            raise NotFoundError(f"Collection [{entry.name}] does not exist")
        if entry.data:
            self.database.drop_collection(entry.data)

    def make_data(self, entry: Entry, dimension: int) -> str:
        """The collection for the rows of an entry, made unless somebody has just made it; its name."""
        options = {key: value for key, value in entry.hnsw.items() if key != "space"}
        own = entry.name[:_OWN_NAME_CHARS]
        unique = f"{own[: _OWN_NAME_CHARS - 13]}-{uuid.uuid4().hex[:12]}"
        for name in (unique,) if own == _OF_THE_DATABASE else (own, unique):
            try:
                self.database.create_collection(
                    name, dimension, SPACES[entry.hnsw["space"]], id_type="text", **options
                )
            except pykyro.AlreadyExists:
                continue  # somebody else's of that name: the other one is nobody's
            try:
                change = {"data": name}
                done = self._catalogue.update_metadata(entry.name, change, merge=True, if_filter={"data": ""})
            except pykyro.Aborted:
                done = False
            if done:
                return name
            self.database.drop_collection(name)
            return self.entry(entry.name).data
        raise InternalError(f"Collection [{entry.name}]: no name is left for its rows")

    def rows(self, data: str) -> SyncCollection:
        """The collection of the database with the rows."""
        return self.database.collection(data)


def checked_name(name: Any) -> None:
    """Raise InvalidArgumentError unless a collection can have this name."""
    if not _is_name(name) or name == CATALOGUE:
        raise InvalidArgumentError(
            "Validation error: name: Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and "
            f"ending with a character in [a-zA-Z0-9]. Got: {name!s:.600}"
        )


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _as_metadata(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "data": entry.data,
        "metadata": entry.metadata,
        "hnsw": entry.hnsw,
        "created": entry.created,
    }


def _entry(document: pykyro.StoredDocument) -> Entry:
    said: Mapping[str, Any] = document.metadata
    return Entry(document.id, said["id"], said["data"], said["metadata"], said["hnsw"], said["created"])
