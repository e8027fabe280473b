"""What the embedded Database and the clients give back: the same values, whoever answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pykyro.model.requests import Tier
from pykyro.model.types import Vector
from pykyro.model.values import values_in_wire, values_with_tags

Item = TypeVar("Item")


class _Described:
    """What has metadata: as it came, until somebody looks."""

    __slots__ = ("_metadata", "_types")

    _metadata: Mapping[str, Any] | bytes
    """In bytes in the form of pykyro.model.metadata_wire, or text forms, or values."""
    _types: str
    """Of text forms a tag for each, empty when all are texts."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The document's metadata, empty when it was left out: values as they were stored."""
        metadata = self._metadata
        if not isinstance(metadata, dict):
            if isinstance(metadata, bytes):
                metadata = values_in_wire(metadata)
            else:
                metadata = values_with_tags(metadata, self._types)
            self._metadata = metadata
        return metadata


class _Items(Sequence[Item]):
    """A sequence of what `_items` names."""

    __slots__ = ()

    @property
    def _items(self) -> list[Item]:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @overload
    def __getitem__(self, at: int) -> Item: ...

    @overload
    def __getitem__(self, at: slice) -> list[Item]: ...

    def __getitem__(self, at: int | slice) -> Item | list[Item]:
        return self._items[at]


class Hit(_Described):
    """One row of an answer.

    `vector` is float32, shape (dimension,), bit for bit as it was inserted, or None unless asked for.
    `position` is as in StoredDocument, 0 unless asked for.
    """

    __slots__ = ("id", "position", "score", "vector")

    def __init__(
        self,
        id: int,
        score: float,
        metadata: Mapping[str, str] | bytes = b"",
        vector: Vector | None = None,
        types: str = "",
        position: int = 0,
    ) -> None:
        """`metadata` is as it came, until somebody looks: in bytes in the form of pykyro.model.metadata_wire, or text
        forms with a tag for each in `types`, which is empty when all are texts."""
        self.id = id
        self.score = score
        self.position = position
        self.vector = vector
        self._metadata = metadata
        self._types = types

    def __repr__(self) -> str:
        return f"Hit(id={self.id}, score={self.score:.6g}, metadata={self.metadata!r})"


@dataclass(frozen=True, slots=True, eq=False)
class SearchAnswer(_Items[Hit]):
    """The hits of a search, best first, equal scores by ascending id; a sequence of them.

    `total_found` counts the rows that matched among the candidates examined and may exceed `len(answer)`.
    `exact` says that no better row can exist. `complete` is False, and `note` says why, when a part of the
    database could not be asked. `matched` counts the live documents in scope that satisfy the filter, `examined`
    the rows whose similarity was computed. `tiers` are the parts of the database that were searched, `plan` says
    how, in words. `latency_ms` is the time the search took where it was done, without the network. `position` is
    that of the collection which the answer shows, 0 when the server does not say. `cached` is
    empty, or why an answer from the query cache was served: "exact", "certified", "rescored", "threshold" (see
    docs/caching.md).
    """

    hits: list[Hit]
    total_found: int
    exact: bool
    complete: bool
    note: str
    tiers: frozenset[Tier]
    plan: str
    matched: int
    examined: int
    latency_ms: float
    cached: str = ""
    position: int = 0

    @property
    def ids(self) -> npt.NDArray[np.uint64]:
        """Ids of the hits, shape (hits,)."""
        return np.array([hit.id for hit in self.hits], dtype=np.uint64)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Scores of the hits, shape (hits,)."""
        return np.array([hit.score for hit in self.hits], dtype=np.float32)

    @property
    def _items(self) -> list[Hit]:
        return self.hits


class StoredDocument(_Described):
    """A document as a lookup or a listing returns it.

    `vector` is float32, shape (dimension,), bit for bit as it was inserted, or None when it was not asked for;
    `tier` is where the document was, None when the server does not say. `position` is that of the write that made it
    what it is, for `if_position`; 0 when the server does not say.
    """

    __slots__ = ("id", "position", "tier", "vector")

    def __init__(
        self,
        id: int,
        vector: Vector | None,
        metadata: Mapping[str, str] | bytes = b"",
        tier: Tier | None = None,
        types: str = "",
        position: int = 0,
    ) -> None:
        """`metadata` and `types` as for a Hit."""
        self.id = id
        self.vector = vector
        self.tier = tier
        self.position = position
        self._metadata = metadata
        self._types = types

    def __repr__(self) -> str:
        return f"StoredDocument(id={self.id}, metadata={self.metadata!r})"


@dataclass(frozen=True, slots=True, eq=False)
class DocumentPage(_Items[StoredDocument]):
    """Documents by id, as they were at `position`; a sequence of them. `next_page_token` is for the next page, ""
    when there is none, and stays good while documents are written."""

    documents: list[StoredDocument]
    next_page_token: str
    position: int

    @property
    def _items(self) -> list[StoredDocument]:
        return self.documents


def through_pages(page_at: Callable[[str], DocumentPage]) -> Iterator[StoredDocument]:
    """The documents of all pages, one after the other; `page_at` gives the page of a token, "" being the first."""
    page = page_at("")
    yield from page
    while page.next_page_token:
        page = page_at(page.next_page_token)
        yield from page


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that `insert_many` did not store, and why."""

    id: object
    reason: str


@dataclass(frozen=True, slots=True)
class InsertReport:
    """What became of the documents of an `insert_many`: how many are stored, and every one that is not. `position` is
    that of the last one stored."""

    inserted: int
    refused: list[Refusal] = field(default_factory=list)
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot: a directory that opens as a database of its own."""

    path: str
    documents: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Health:
    """`status` is "healthy", "degraded", "unhealthy" or "unknown"; `components` describes each part in words."""

    status: str
    components: dict[str, str]
    version: str
    uptime_s: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of one moment. Documents are live ones, `documents_max` the most there may be; `distance` is
    "cosine", "euclidean" or "innerproduct"."""

    documents: int
    hot_documents: int
    cold_documents: int
    documents_max: int
    hot_flushes: int
    dimension: int
    distance: str
