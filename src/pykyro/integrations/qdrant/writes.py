"""The calls that store, change and remove points."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final

import pykyro
from pykyro.integrations.places import SyncCollection
from pykyro.integrations.qdrant.database import DatabaseOfClient, Points, check_others
from pykyro.integrations.qdrant.errors import UnexpectedResponse, qdrant_errors
from pykyro.integrations.qdrant.filters import filter_dict
from pykyro.integrations.qdrant.ids import ORDER, document_id, document_ids, id_of, order_of
from pykyro.integrations.qdrant.models import UpdateResult, UpdateStatus
from pykyro.integrations.qdrant.points import columns, documents, payload_values, stored_vector, without
from pykyro.integrations.store_collection import found, require_stored

_IDS_AT_ONCE: Final = 5000


class PointWrites(DatabaseOfClient):
    """The writes of a client. Each is durable and visible when its call returns, whatever `wait` says."""

    def upsert(self, collection_name: str, points: Any, wait: bool = True, **others: Any) -> UpdateResult:
        """Store points, PointStructs or a Batch; one whose id is there is replaced."""
        check_others("upsert", others)
        self._store(collection_name, lambda distance: documents(points, distance))
        return self._done(collection_name)

    def upload_points(
        self,
        collection_name: str,
        points: Iterable[Any],
        batch_size: int = 64,
        parallel: int = 1,
        method: str | None = None,
        max_retries: int = 3,
        wait: bool = False,
        **others: Any,
    ) -> None:
        """`upsert` of any number of points, as they come."""
        check_others("upload_points", others)
        self._store(collection_name, lambda distance: documents(points, distance))

    def upload_collection(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        batch_size: int = 64,
        parallel: int = 1,
        method: str | None = None,
        max_retries: int = 3,
        wait: bool = False,
        **others: Any,
    ) -> None:
        """`upload_points` of columns; without ids each point has a random UUID."""
        check_others("upload_collection", others)
        own_ids = _random_ids() if ids is None else ids
        payloads = chain(() if payload is None else payload, repeat(None))
        self._store(collection_name, lambda distance: columns(own_ids, vectors, payloads, distance))

    def update_vectors(
        self, collection_name: str, points: Sequence[Any], wait: bool = True, **others: Any
    ) -> UpdateResult:
        """Give points other vectors. Raises UnexpectedResponse (404) for one that is not there; the others have
        theirs."""
        check_others("update_vectors", others)
        target = self._points(collection_name)
        vectors = {document_id(point.id): stored_vector(point.vector, target.distance) for point in points}
        with qdrant_errors(collection_name):
            missing = [own_id for own_id, vector in vectors.items() if not _replace(target, own_id, vector)]
        _check_found(missing)
        return self._done(collection_name)

    def delete(
        self, collection_name: str, points_selector: Any, wait: bool = True, **others: Any
    ) -> UpdateResult:
        """Remove points: by ids, or those that a filter matches."""
        check_others("delete", others)
        collection = self._points(collection_name).collection
        with qdrant_errors(collection_name):
            for part in _parts(_selected(collection, points_selector)):
                collection.delete_many(part)
        return self._done(collection_name)

    def set_payload(
        self,
        collection_name: str,
        payload: Mapping[str, Any],
        points: Any,
        key: str | None = None,
        wait: bool = True,
        **others: Any,
    ) -> UpdateResult:
        """Lay these entries over the payload of points; with `key`, over the dict under that key. A None takes an
        entry away, as Qdrant has it."""
        check_others("set_payload", others)
        values = payload_values(payload)

        def laid_over(known: dict[str, Any]) -> dict[str, Any]:
            if key is None:
                return _merged(known, values)
            below = known.get(key)
            return {**known, key: _merged(below if isinstance(below, dict) else {}, values)}

        return self._change_payload(collection_name, points, laid_over)

    def overwrite_payload(
        self, collection_name: str, payload: Mapping[str, Any], points: Any, wait: bool = True, **others: Any
    ) -> UpdateResult:
        """Replace the payload of points."""
        check_others("overwrite_payload", others)
        values = payload_values(payload)
        return self._change_payload(collection_name, points, lambda known: values)

    def delete_payload(
        self, collection_name: str, keys: Sequence[str], points: Any, wait: bool = True, **others: Any
    ) -> UpdateResult:
        """Take keys, or paths into dicts, out of the payload of points."""
        check_others("delete_payload", others)
        return self._change_payload(collection_name, points, lambda known: without(known, keys))

    def clear_payload(
        self, collection_name: str, points_selector: Any, wait: bool = True, **others: Any
    ) -> UpdateResult:
        """Take everything out of the payload of points."""
        check_others("clear_payload", others)
        return self._change_payload(collection_name, points_selector, lambda known: {})

    # --- behind them ---

    def _store(self, name: str, made: Any) -> None:
        target = self._points(name)
        with qdrant_errors(name):
            require_stored(target.collection.insert_many(made(target.distance)))

    def _change_payload(self, name: str, selector: Any, change: Any) -> UpdateResult:
        collection = self._points(name).collection
        with qdrant_errors(name):
            missing = [
                own_id
                for own_id in _selected(collection, selector)
                if not _rewrite(collection, own_id, change)
            ]
        _check_found(missing)
        return self._done(name)

    def _done(self, name: str) -> UpdateResult:
        position = self._database.collection(name).position
        return UpdateResult(operation_id=position, status=UpdateStatus.COMPLETED)


def _merged(known: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in known.items() if name not in values}
    return kept | {name: value for name, value in values.items() if value is not None}


def _rewrite(collection: SyncCollection, own_id: str, change: Any) -> bool:
    """Change a payload as it is at that moment; False when the point is not there."""
    while True:
        known = collection.get(own_id, include_vector=False)
        if known is None:
            return False
        payload = {key: value for key, value in known.metadata.items() if key != ORDER}
        metadata = {ORDER: order_of(id_of(own_id)), **change(payload)}
        try:
            if collection.update_metadata(own_id, metadata, if_position=known.position):
                return True
        except pykyro.Aborted:
            pass  # somebody has just written it: look again


def _replace(target: Points, own_id: str, vector: Any) -> bool:
    while True:
        known = target.collection.get(own_id, include_vector=False)
        if known is None:
            return False
        try:
            target.collection.insert(own_id, vector, known.metadata, if_position=known.position)
        except pykyro.Aborted:
            continue  # somebody has just written it: look again
        return True


def _selected(collection: SyncCollection, selector: Any) -> list[str]:
    """The documents of the points that a selector names: ids, PointIdsList, Filter, FilterSelector."""
    selector = getattr(selector, "points", getattr(selector, "filter", selector))
    if isinstance(selector, (list, tuple, set)):
        if not selector:
            raise UnexpectedResponse(400, "Empty update request")
        return document_ids(selector)
    criteria = filter_dict(selector)
    return [one.id for one in collection.documents(filter=criteria, include_metadata=False)]


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[begin : begin + _IDS_AT_ONCE]


def _check_found(missing: list[str]) -> None:
    if missing:
        raise UnexpectedResponse(404, f"No point with id {missing[0]} found")


def _random_ids() -> Iterator[str]:
    while True:
        yield str(uuid.uuid4())


def stored(collection: SyncCollection, ids: list[str], with_vectors: bool) -> list[pykyro.StoredDocument]:
    """The documents with these ids, in their order."""
    return [
        one for part in _parts(ids) for one in found(collection.get_many(part, include_vectors=with_vectors))
    ]
