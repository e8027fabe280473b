"""The collection in which a framework's store keeps its documents: made when the first one comes, its ids text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pykyro
from pykyro.integrations.places import Place, SyncCollection

DISTANCES = ("cosine", "euclidean", "innerproduct")


class StoreCollection:
    """One collection of a place. What can be read before it exists is nothing, unless it must exist.

    Both the methods for callers that wait and those for coroutines ask the database for the collection once, and then
    remember what it is.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        *,
        distance: pykyro.Distance = "cosine",
        create: bool = True,
        text: Mapping[str, Any] | None = None,
    ) -> None:
        """With `create` the collection is made by the first write, its words found as `text` says (see
        `create_collection`), else it must be there. Raises InvalidArgument."""
        if distance not in DISTANCES:
            raise pykyro.InvalidArgument(
                f"distance must be one of {', '.join(DISTANCES)}, got {distance!r:.100}", field="distance"
            )
        self.place = place
        self.name: str = getattr(place.database, "name", name) if place.is_collection else name
        self._distance = distance
        self._text = text
        self._may_create = create and not place.is_collection
        self._info: pykyro.CollectionInfo | None = None

    @property
    def distance(self) -> str:
        """Its distance: "cosine", "euclidean" or "innerproduct"."""
        return self._distance if self._info is None else self._info.config.metric.value

    def to_read(self) -> SyncCollection | None:
        """The collection, or None while there is none and the first write may make it. Raises NotFound,
        FailedPrecondition when its ids are not text."""
        collection = self.place.sync_collection(self.name)
        if self._info is None:
            try:
                self._info = _checked(collection.describe())
            except pykyro.NotFound:
                if not self._may_create:
                    raise
                return None
        return collection

    def to_write(self, dimension: int) -> SyncCollection:
        """The collection, made for vectors of `dimension` components if there is none."""
        if self.to_read() is None:
            self.place.create(self.name, dimension, self._distance, self._text)
        collection = self.to_read()
        assert collection is not None
        return collection

    async def ato_read(self) -> Any:
        """`to_read` for coroutines: the methods of a pykyro.AsyncCollection, or None."""
        collection = self.place.async_collection(self.name)
        if self._info is None:
            try:
                self._info = _checked(await collection.describe())
            except pykyro.NotFound:
                if not self._may_create:
                    raise
                return None
        return collection

    async def ato_write(self, dimension: int) -> Any:
        """`to_write` for coroutines."""
        if await self.ato_read() is None:
            await self.place.acreate(self.name, dimension, self._distance, self._text)
        return await self.ato_read()


def require_stored(report: pykyro.InsertReport) -> None:
    """Raise InvalidArgument when a document was refused: frameworks expect all of them to be stored."""
    if report.refused:
        first = report.refused[0]
        raise pykyro.InvalidArgument(
            f"{len(report.refused)} of {len(report.refused) + report.inserted} documents are not stored, the "
            f"others are; the first is {first.id!r}: {first.reason}",
            field="documents",
        )


def found(documents: Iterable[pykyro.StoredDocument | None]) -> list[pykyro.StoredDocument]:
    """Those that are there."""
    return [document for document in documents if document is not None]


def words_under(key: str, language: str | None) -> dict[str, Any] | None:
    """The text options of a collection whose documents have their text under `key`; None for no language."""
    return None if language is None else {"keys": [key], "language": language}


async def every_document(
    collection: Any,
    filter: Mapping[str, Any] | None,
    namespace: str,
    *,
    include_vectors: bool = False,
    include_metadata: bool = True,
) -> list[pykyro.StoredDocument]:
    """All documents that match, of a collection for coroutines."""
    documents: list[pykyro.StoredDocument] = []
    token = ""
    while True:
        page = await collection.scroll(
            filter=filter,
            namespace=namespace,
            page_token=token,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
        )
        documents.extend(page)
        token = page.next_page_token
        if not token:
            return documents


def _checked(info: pykyro.CollectionInfo) -> pykyro.CollectionInfo:
    if info.config.id_type != "text":
        raise pykyro.FailedPrecondition(
            f"collection {info.name!r} has ids that are integers, and those of this framework are texts: use another "
            'collection, created with id_type="text"'
        )
    return info
