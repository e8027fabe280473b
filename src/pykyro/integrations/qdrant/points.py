"""Points as documents: what is stored of a payload and a vector, and what is shown of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from enum import Enum
from itertools import repeat
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

import pykyro
from pykyro.integrations.qdrant.errors import NotSupported, UnexpectedResponse
from pykyro.integrations.qdrant.ids import ORDER, PointId, id_of, order_of, point_id

FloatVector = npt.NDArray[np.float32]


def checked_vector(given: Any) -> FloatVector:
    """The one vector of a point or a query, shape (dimension,). Raises NotSupported, UnexpectedResponse."""
    if isinstance(given, Mapping):
        if list(given) != [""]:
            raise NotSupported(
                f"named vectors ({', '.join(map(repr, given))}): a point has one vector here; make a collection for "
                "each name, with the same ids"
            )
        given = given[""]
    if hasattr(given, "indices"):
        raise NotSupported("sparse vectors: a text is searched by words here (docs/words.md)")
    if hasattr(given, "model") or isinstance(given, str) or given is None:
        raise NotSupported(
            f"{type(given).__name__} as a vector: embed it in the program, and give the vector"
        )
    try:
        vector = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UnexpectedResponse(400, f"a vector must be a list of numbers, got {given!r:.200}") from error
    if vector.ndim == 2:
        raise NotSupported("several vectors of one point: store each as a point of its own")
    if vector.ndim != 1:
        raise UnexpectedResponse(400, f"a vector must be a list of numbers, got {vector.ndim} dimensions")
    return vector


def stored_vector(given: Any, distance: str) -> FloatVector:
    """The vector that is kept: of length 1 where the distance is cosine, as Qdrant keeps it."""
    vector = checked_vector(given)
    if distance == "cosine":
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if norm == 0.0:
            raise UnexpectedResponse(
                400, "a vector of zeros has no cosine: leave it out, or use the distance Dot"
            )
        if math.isfinite(norm):
            vector = (vector / norm).astype(np.float32)
    return vector


def payload_values(payload: Any) -> dict[str, Any]:
    """A payload as JSON has it: times, UUIDs and the like become text, tuples become lists."""
    if payload is None:
        return {}
    if hasattr(payload, "model_dump"):
        payload = payload.model_dump()
    if not isinstance(payload, Mapping):
        raise UnexpectedResponse(400, f"a payload must be a dict, got {payload!r:.200}")
    if ORDER in payload:
        raise UnexpectedResponse(
            400, f"a payload must not have the key {ORDER!r}, which KyroDB keeps for itself"
        )
    return {str(key): _json_value(value) for key, value in payload.items()}


def document(given_id: Any, vector: Any, payload: Any, distance: str) -> pykyro.NewDocument:
    """The document that keeps a point."""
    own_id = point_id(given_id)
    metadata = {ORDER: order_of(own_id), **payload_values(payload)}
    return pykyro.NewDocument(str(own_id), stored_vector(vector, distance), metadata)


def documents(given: Any, distance: str) -> Iterator[pykyro.NewDocument]:
    """The documents that keep points: PointStructs, or a Batch, or what holds one of them."""
    given = getattr(given, "batch", getattr(given, "points", given))
    if hasattr(given, "ids"):
        _check_lengths(given)
        yield from columns(given.ids, given.vectors, given.payloads, distance)
        return
    for point in given:
        yield document(point.id, point.vector, point.payload, distance)


def _check_lengths(batch: Any) -> None:
    vectors = checked_column(batch.vectors)
    for name, column in (("vectors", vectors), ("payloads", batch.payloads)):
        if column is not None and len(column) != len(batch.ids):
            raise UnexpectedResponse(400, f"a Batch of {len(batch.ids)} ids has {len(column)} {name}")


def checked_column(vectors: Any) -> Any:
    """The vectors of points that are given as columns: those without a name. Raises NotSupported."""
    if isinstance(vectors, Mapping):
        checked_vector(dict.fromkeys(vectors, ()))
        return vectors[""]
    return vectors


def columns(
    ids: Iterable[Any], vectors: Any, payloads: Iterable[Any] | None, distance: str
) -> Iterator[pykyro.NewDocument]:
    """The documents that keep points which are given as columns."""
    rows = zip(ids, checked_column(vectors), repeat(None) if payloads is None else payloads, strict=False)
    for own_id, vector, payload in rows:
        yield document(own_id, vector, payload, distance)


def shown_id(found: pykyro.StoredDocument | pykyro.Hit) -> PointId:
    """The id of a point."""
    return id_of(found.id)


def shown_vector(vector: FloatVector | None) -> list[float] | None:
    """A vector as a list of floats."""
    return None if vector is None else vector.tolist()


def shown_payload(metadata: Mapping[str, Any], wanted: Any) -> dict[str, Any] | None:
    """What of a payload is asked for: True, False, a list of keys, or a selector."""
    if wanted is False or wanted is None:
        return None
    payload = {key: value for key, value in metadata.items() if key != ORDER}
    if isinstance(wanted, (list, tuple)) or hasattr(wanted, "include"):
        keys = wanted.include if hasattr(wanted, "include") else wanted
        return _only(payload, [key.split(".") for key in keys])
    if hasattr(wanted, "exclude"):
        return without(payload, wanted.exclude)
    return payload


def without(payload: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A payload without these keys, or paths into its dicts."""
    left = dict(payload)
    for key in keys:
        first, _, rest = key.partition(".")
        if not rest or not isinstance(left.get(first), dict):
            if not rest:
                left.pop(first, None)
        else:
            left[first] = without(left[first], [rest])
    return left


def _only(payload: Mapping[str, Any], paths: list[list[str]]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key in payload:
        below = [path[1:] for path in paths if path[0] == key]
        if any(not path for path in below):
            kept[key] = payload[key]
        elif below and isinstance(payload[key], dict):
            inner = _only(payload[key], below)
            if inner:
                kept[key] = inner
    return kept


def _json_value(value: Any) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return _json_value(value.value)
    if isinstance(value, Mapping):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json_value(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _json_value(value.tolist())
    return value
