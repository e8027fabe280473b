"""The database of a client, and one collection of it as Qdrant's calls see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pykyro
from pykyro.integrations.places import SyncCollection, SyncDatabase
from pykyro.integrations.qdrant.errors import NotSupported, UnexpectedResponse, qdrant_errors

DISTANCES: Final[dict[str, pykyro.Distance]] = {
    "Cosine": "cosine",
    "Euclid": "euclidean",
    "Dot": "innerproduct",
}
_WITHOUT_EFFECT: Final = frozenset({"timeout", "consistency", "wait", "ordering", "exact"})


class Points:
    """The collection of one call: its points, its distance."""

    def __init__(self, collection: SyncCollection, info: pykyro.CollectionInfo) -> None:
        self.collection: Final = collection
        self.name: Final = info.name
        self.distance: Final = info.config.metric.value
        self.dimension: Final = info.config.dimension


class DatabaseOfClient:
    """What stands behind the calls of a client."""

    def __init__(self, database: SyncDatabase) -> None:
        self._database: Final = database

    def _points(self, name: str) -> Points:
        """The collection of this name or alias. Raises UnexpectedResponse (404), NotSupported."""
        with qdrant_errors(name):
            collection = self._database.collection(name)
            info = self._database.describe_collection(name)
        if info.config.id_type != "text":
            raise NotSupported(
                f"collection {name!r} has ids that are integers, and was made by another program: points are in "
                "collections that create_collection() here has made"
            )
        return Points(collection, info)


def check_others(call: str, others: Mapping[str, Any]) -> None:
    """Raise NotSupported for an argument that has an effect at Qdrant and none here."""
    for name, value in others.items():
        if value is not None and name not in _WITHOUT_EFFECT:
            raise NotSupported(f"{call}({name}=…) is not here: leave it out")


def check_bound(value: Any, name: str, least: int, most: int) -> int:
    """Raise UnexpectedResponse (400) unless `value` lies between these."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UnexpectedResponse(400, f"{name} must be an integer of {least} to {most}, got {value!r:.100}")
    return value
