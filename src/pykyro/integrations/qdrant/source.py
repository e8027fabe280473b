"""A collection of Qdrant itself, at a server or in a directory of its local mode.

Its points come over as pykyro.compat.qdrant would have stored them, so programs find them by its calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

import pykyro
from pykyro.integrations.extras import needs_extra
from pykyro.integrations.qdrant.database import DISTANCES
from pykyro.integrations.qdrant.ids import ORDER, order_of
from pykyro.integrations.qdrant.points import FloatVector
from pykyro.integrations.transfers.source import PAGE, Source, SourceRow, chosen_column, value_of

_ROUNDING: Final = 1e-5


def qdrant_source(uri: str, name: str | None, api_key: str | None, vector_name: str | None) -> Source:
    """The points of a collection. Raises InvalidArgument, FailedPrecondition."""
    try:
        with needs_extra("import-qdrant", "qdrant_client"):
            import qdrant_client
    except ModuleNotFoundError as error:
        raise pykyro.FailedPrecondition(str(error)) from error
    is_directory = "://" not in uri
    if is_directory and not os.path.isfile(os.path.join(uri, "meta.json")):
        raise pykyro.InvalidArgument(
            f"{uri} is neither a URL nor a directory of Qdrant's local mode: it has no meta.json", field="in"
        )
    try:
        client: Any = (
            qdrant_client.QdrantClient(path=uri)
            if is_directory
            else qdrant_client.QdrantClient(url=uri, api_key=api_key, timeout=60)
        )
        known = [one.name for one in client.get_collections().collections]
        return _source(client, chosen_column(name, known, "collection", uri, ""), vector_name)
    except pykyro.KyroError:
        raise
    except Exception as error:  # qdrant_client has no class above all that a server or a directory raises
        raise pykyro.FailedPrecondition(f"Qdrant {uri}: {error}") from error


def _source(client: Any, name: str, vector_name: str | None) -> Source:
    params: Any = client.get_collection(name).config.params.vectors
    own = ""
    if isinstance(params, dict):
        own = chosen_column(vector_name, [*params], "vector", name, "")
        params = params[own]
    if params is None or params.multivector_config is not None:
        raise pykyro.InvalidArgument(
            f"{name} has no vectors of one row each, which are what can be read", field="collection"
        )
    distance = params.distance.value
    if distance not in DISTANCES:
        raise pykyro.InvalidArgument(
            f"{name} has the distance {distance}; there are {', '.join(DISTANCES)} here", field="distance"
        )
    return Source(
        name=name,
        dimension=params.size,
        distance=DISTANCES[distance],
        id_type="text",
        total=client.count(name, exact=True).count,
        pages=_pages(client, name, own, distance == "Cosine"),
    )


def _pages(client: Any, name: str, own: str, cosine: bool) -> Iterator[list[SourceRow]]:
    offset: Any = None
    try:
        while True:
            points, offset = client.scroll(
                name, limit=PAGE, offset=offset, with_vectors=[own] if own else True, with_payload=True
            )
            if points:
                yield [_row(one, own, cosine) for one in points]
            if offset is None:
                return
    finally:
        client.close()


def _row(point: Any, own: str, cosine: bool) -> SourceRow:
    vector = point.vector[own] if own else point.vector
    metadata = {ORDER: order_of(point.id), **value_of(point.payload or {})}
    return SourceRow(str(point.id), _of_length_one(vector) if cosine else _as_float32(vector), metadata)


def _as_float32(vector: Any) -> FloatVector:
    return np.asarray(vector, dtype=np.float32)


def _of_length_one(vector: Any) -> FloatVector:
    """As Qdrant's server keeps it. A directory of the local mode gives the vector as it was sent, once it was closed;
    one that has this length, but for its rounding, stays as it is to the bit."""
    given = _as_float32(vector)
    norm = float(np.linalg.norm(given.astype(np.float64)))
    return given if norm == 0.0 or abs(norm - 1.0) < _ROUNDING else (given / norm).astype(np.float32)
