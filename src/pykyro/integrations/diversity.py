"""Maximal marginal relevance: results that are near the query and unlike one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def most_relevant_and_diverse(
    query: npt.ArrayLike, vectors: Sequence[npt.ArrayLike], k: int, relevance: float
) -> list[tuple[int, float]]:
    """Up to `k` positions in `vectors`, shape (n, dimension), in the order in which they are picked, with scores.

    The nearest comes first, and each next one has the highest score: `relevance` times its cosine with `query`, less
    (1 - `relevance`) times the highest cosine with those picked before. `relevance` is 0 (only unlike) to 1 (only
    near). Of equal scores the first in `vectors` is taken.
    """
    if not len(vectors) or k < 1:
        return []
    rows = _unit(np.asarray(vectors, np.float64))
    near = rows @ _unit(np.asarray(query, np.float64)[None, :])[0]
    overlap = np.zeros(len(rows))
    left = np.ones(len(rows), bool)
    picked: list[tuple[int, float]] = []
    while len(picked) < min(k, len(rows)):
        scores = np.where(left, relevance * near - (1 - relevance) * overlap, -np.inf)
        at = int(np.argmax(scores if picked else near))
        picked.append((at, float(scores[at])))
        left[at] = False
        cosines = rows @ rows[at]
        overlap = cosines if len(picked) == 1 else np.maximum(overlap, cosines)
    return picked


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """The rows at length 1; one of zeros stays so."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1.0, lengths)
