"""What the embedded Database and the clients give back: the same values, whoever answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pykyro.model import tables
from pykyro.model.expiry import as_datetime
from pykyro.model.legs import LegScore, Span
from pykyro.model.metadata_wire import expires_in
from pykyro.model.requests import Tier
from pykyro.model.typed_filter import same
from pykyro.model.types import Vector
from pykyro.model.values import values_in_wire, values_with_tags

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Item = TypeVar("Item")


class _Described:
    """What has metadata: as it came, until somebody looks."""

    __slots__ = ("_expires_us", "_metadata", "_types")

    _metadata: Mapping[str, Any] | bytes
    """In bytes in the form of pykyro.model.metadata_wire, or text forms, or values."""
    _types: str
    """Of text forms a tag for each, empty when all are texts."""
    _expires_us: int
    """Microseconds since the Unix epoch, 0 for never. In metadata that is bytes they stand there."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The document's metadata, empty when it was left out: values as they were stored."""
        metadata = self._metadata
        if not isinstance(metadata, dict):
            if isinstance(metadata, bytes):
                self._expires_us = expires_in(metadata)
                metadata = values_in_wire(metadata)
            else:
                metadata = values_with_tags(metadata, self._types)
            self._metadata = metadata
        return metadata

    @property
    def expires_at(self) -> datetime | None:
        """When the document goes, in UTC; None when it stays, and when its metadata was left out."""
        metadata = self._metadata
        return as_datetime(expires_in(metadata) if isinstance(metadata, bytes) else self._expires_us)


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

    `id` is an int, or a str where ids are text. `vector` is float32, shape (dimension,), bit for bit as it was
    inserted, or None unless asked for. `position` is as in StoredDocument, 0 unless asked for. `legs` and
    `highlights` are those of a search by words that asked for them, else empty. `group` is the value it was grouped
    by, else None. `search_score` is what the search gave where a reranker gave `score`, else None.
    """

    __slots__ = ("group", "highlights", "id", "legs", "position", "score", "search_score", "vector")

    def __init__(
        self,
        id: Any,
        score: float,
        metadata: Mapping[str, str] | bytes = b"",
        vector: Vector | None = None,
        types: str = "",
        expires_us: int = 0,
        position: int = 0,
        legs: Sequence[LegScore] = (),
        highlights: Sequence[Span] = (),
        group: Any = None,
    ) -> None:
        """`metadata` is as it came, until somebody looks: in bytes in the form of pykyro.model.metadata_wire, or text
        forms with a tag for each in `types`, which is empty when all are texts, and `expires_us` beside them."""
        self.id: Any = id
        self.score = score
        self.position = position
        self.vector = vector
        self._metadata = metadata
        self._types = types
        self._expires_us = expires_us
        self.legs: dict[str, LegScore] = {each.leg: each for each in legs}
        self.highlights = list(highlights)
        self.group = group
        self.search_score: float | None = None

    def highlighted(self, key: str, before: str = "<b>", after: str = "</b>") -> str:
        """The text under `key` with marks around the words of the query; nothing in it is escaped."""
        text, parts, done = str(self.metadata.get(key, "")), [], 0
        for span in self.highlights:
            if span.key == key and span.start >= done:
                parts += [text[done : span.start], before, text[span.start : span.end], after]
                done = span.end
        return "".join([*parts, text[done:]])

    def __repr__(self) -> str:
        return f"Hit(id={self.id!r}, score={self.score:.6g}{_described(self)})"


class Group(NamedTuple):
    """The best documents of one value."""

    value: Any
    hits: list[Hit]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SearchAnswer(_Items[Hit]):
    """The hits of a search, best first, equal scores by ascending id; a sequence of them.

    `total_found` counts the rows that matched among the candidates examined and may exceed `len(answer)`.
    `exact` says that no better row can exist. `complete` is False, and `note` says why, when a part of the
    database could not be asked. `matched` counts the live documents in scope that satisfy the filter, `examined`
    the rows whose similarity was computed. `tiers` are the parts of the database that were searched, `plan` says
    how, in words. `latency_ms` is the time the search took where it was done, without the network. `position` is
    that of the collection which the answer shows, 0 when the server does not say. `cached` is
    empty, or why an answer from the query cache was served: "exact", "certified", "rescored", "threshold" (see
    docs/caching.md). `fusion` says of a search by vector and words how far both were looked at: "exhausted",
    "proved", "bounded", "as_asked" (see docs/words.md); else it is empty.
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
    fusion: str = ""

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Ids of the hits, shape (hits,): uint64, or objects of type str where ids are text."""
        ids = [hit.id for hit in self.hits]
        return np.array(ids, dtype=object if ids and isinstance(ids[0], str) else np.uint64)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Scores of the hits, shape (hits,)."""
        return np.array([hit.score for hit in self.hits], dtype=np.float32)

    @property
    def groups(self) -> list[Group]:
        """The hits by the value they were grouped by, the group with the best hit first; none without `group_by`."""
        grouped: list[Group] = []
        for hit in self.hits:
            if hit.group is None:
                continue
            if not grouped or not same(grouped[-1].value, hit.group):
                grouped.append(Group(hit.group, []))
            grouped[-1].hits.append(hit)
        return grouped

    def to_arrow(self) -> pa.Table:
        """The hits as a pyarrow Table with the columns id, score, vector if there are vectors, and one for each key
        of metadata (pykyro.model.tables). Raises FailedPrecondition when pyarrow is not installed."""
        return tables.to_arrow(self.hits, scores=True)

    def to_pandas(self) -> pd.DataFrame:
        """The hits as a pandas DataFrame with the same columns. Raises FailedPrecondition when pandas is not
        installed."""
        return tables.to_pandas(self.hits, scores=True)

    def __repr__(self) -> str:
        left_out = "" if self.complete else f", complete=False, note={self.note!r}"
        return (
            f"SearchAnswer({len(self.hits)} hits, ids={_first_ids(self.hits)}, exact={self.exact}, "
            f"matched={self.matched}, latency_ms={self.latency_ms:.3g}{left_out})"
        )

    @property
    def _items(self) -> list[Hit]:
        return self.hits


class StoredDocument(_Described):
    """A document as a lookup or a listing returns it. `id` is an int, or a str where ids are text.

    `vector` is float32, shape (dimension,), bit for bit as it was inserted, or None when it was not asked for;
    `tier` is where the document was, None when the server does not say. `position` is that of the write that made it
    what it is, for `if_position`; 0 when the server does not say.
    """

    __slots__ = ("id", "position", "tier", "vector")

    def __init__(
        self,
        id: Any,
        vector: Vector | None,
        metadata: Mapping[str, str] | bytes = b"",
        tier: Tier | None = None,
        types: str = "",
        expires_us: int = 0,
        position: int = 0,
    ) -> None:
        """`metadata`, `types` and `expires_us` as for a Hit."""
        self.id: Any = id
        self.vector = vector
        self.tier = tier
        self.position = position
        self._metadata = metadata
        self._types = types
        self._expires_us = expires_us

    def __repr__(self) -> str:
        return f"StoredDocument(id={self.id!r}{_described(self)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DocumentPage(_Items[StoredDocument]):
    """Documents in order, as they were at `position`; a sequence of them. `next_page_token` is for the next page, ""
    when there is none, and stays good while documents are written."""

    documents: list[StoredDocument]
    next_page_token: str
    position: int

    def to_arrow(self) -> pa.Table:
        """The documents as a pyarrow Table with the columns id, vector if there are vectors, and one for each key of
        metadata (pykyro.model.tables). Raises FailedPrecondition when pyarrow is not installed."""
        return tables.to_arrow(self.documents)

    def to_pandas(self) -> pd.DataFrame:
        """The documents as a pandas DataFrame with the same columns. Raises FailedPrecondition when pandas is not
        installed."""
        return tables.to_pandas(self.documents)

    def __repr__(self) -> str:
        return (
            f"DocumentPage({len(self.documents)} documents, ids={_first_ids(self.documents)}, "
            f"position={self.position}, next_page_token={self.next_page_token[:40]!r})"
        )

    @property
    def _items(self) -> list[StoredDocument]:
        return self.documents


_IDS_SHOWN: Final = 5
_METADATA_CHARS_SHOWN: Final = 200


def _first_ids(items: Sequence[Hit] | Sequence[StoredDocument]) -> str:
    shown = [str(item.id) for item in items[:_IDS_SHOWN]]
    return f"[{', '.join(shown + ['…'] * (len(items) > len(shown)))}]"


def _described(item: Hit | StoredDocument) -> str:
    """What else there is to say of a document on one line."""
    text = repr(item.metadata)
    shown = text if len(text) <= _METADATA_CHARS_SHOWN else f"{text[:_METADATA_CHARS_SHOWN]}…"
    vector = "" if item.vector is None else f", vector of {len(item.vector)}"
    return f", metadata={shown}{vector}"


@dataclass(frozen=True, slots=True)
class Facet:
    """A value, and how many documents have it; can be unpacked. Of numbers that are equal it is the int."""

    value: Any
    count: int

    def __iter__(self) -> Iterator[Any]:
        return iter((self.value, self.count))


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
    "cosine", "euclidean" or "innerproduct", `id_type` "integer" or "text"."""

    documents: int
    hot_documents: int
    cold_documents: int
    documents_max: int
    hot_flushes: int
    dimension: int
    distance: str
    id_type: str = "integer"
