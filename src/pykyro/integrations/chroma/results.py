"""Answers in the shapes that Chroma's have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import pykyro
from pykyro.integrations.chroma.errors import NotSupported
from pykyro.integrations.chroma.rows import DOCUMENT, shown_metadata

_KNOWN: Final = ("documents", "embeddings", "metadatas", "distances", "uris", "data")


def checked_include(include: Sequence[str], *, of_query: bool) -> list[str]:
    """What an answer shall hold. Raises ValueError, NotSupported."""
    for one in include:
        if one not in _KNOWN:
            raise ValueError(f"Expected include item to be one of {', '.join(_KNOWN)}, got {one!r:.100}")
        if one == "distances" and not of_query:
            raise ValueError("Include item cannot be one of distances, got distances in get.")
        if one == "data":
            raise NotSupported(
                "include='data': there are no images here; load what a URI names in the program"
            )
    return list(include)


def checked_bound(value: int | None, name: str) -> int | None:
    """`limit` or `offset`. Raises ValueError."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"Expected {name} to be a non-negative int, got {value!r:.100}")
    return value


def get_result(documents: Sequence[pykyro.StoredDocument], include: list[str]) -> dict[str, Any]:
    """The answer of `get`."""
    return {
        "ids": [one.id for one in documents],
        "embeddings": _vectors(documents) if "embeddings" in include else None,
        "documents": _texts(documents) if "documents" in include else None,
        "uris": [None] * len(documents) if "uris" in include else None,
        "included": include,
        "data": None,
        "metadatas": _metadatas(documents) if "metadatas" in include else None,
    }


def query_result(
    queries: Sequence[npt.NDArray[np.float32]],
    answers: Sequence[Sequence[pykyro.Hit]],
    space: str,
    include: list[str],
) -> dict[str, Any]:
    """The answer of `query`: a list for each of the queries."""
    distances = None
    if "distances" in include:
        distances = [_distances(query, hits, space) for query, hits in zip(queries, answers, strict=True)]
    return {
        "ids": [[hit.id for hit in hits] for hits in answers],
        "embeddings": [_vectors(hits) for hits in answers] if "embeddings" in include else None,
        "documents": [_texts(hits) for hits in answers] if "documents" in include else None,
        "uris": [[None] * len(hits) for hits in answers] if "uris" in include else None,
        "included": include,
        "data": None,
        "metadatas": [_metadatas(hits) for hits in answers] if "metadatas" in include else None,
        "distances": distances,
    }


def _distances(query: npt.NDArray[np.float32], hits: Sequence[pykyro.Hit], space: str) -> list[float]:
    """Chroma's distances: the square of the Euclidean one, 1 - cosine, 1 - inner product.

    They are computed from the vectors, because a score near 0 no longer tells large distances apart.
    """
    if not hits:
        return []
    rows = np.stack([hit.vector for hit in hits if hit.vector is not None]).astype(np.float64)
    one = query.astype(np.float64)
    if space == "l2":
        found = ((rows - one) ** 2).sum(axis=1)
    elif space == "cosine":
        found = 1.0 - rows @ one / (np.linalg.norm(rows, axis=1) * np.linalg.norm(one))
    else:
        found = 1.0 - rows @ one
    return [float(distance) for distance in found]


def _vectors(documents: Sequence[pykyro.StoredDocument] | Sequence[pykyro.Hit]) -> npt.NDArray[np.float64]:
    return np.array([one.vector for one in documents], dtype=np.float64)


def _texts(documents: Sequence[pykyro.StoredDocument] | Sequence[pykyro.Hit]) -> list[str | None]:
    return [one.metadata.get(DOCUMENT) for one in documents]


def _metadatas(
    documents: Sequence[pykyro.StoredDocument] | Sequence[pykyro.Hit],
) -> list[dict[str, Any] | None]:
    return [shown_metadata(one.metadata) for one in documents]
