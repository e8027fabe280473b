"""What the benchmarks measure with: a directory of real embeddings, or made-up ones.

A directory holds docs.npy (n, d), queries.npy (m, d) and gt_ids.npy (q, at least 10): the exact best rows for the
first q queries, by cosine. Made-up data is clustered and needs a smaller ef than real text: quote real data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Unit rows. `truth` has shape (q, 10): the exact answers of the first q queries, as row numbers."""

    name: str
    rows: Floats
    queries: Floats
    truth: npt.NDArray[np.int64]


def load(directory: Path | None, count: int) -> Dataset:
    """The first `count` rows of a directory, or as many made-up ones."""
    if directory is None:
        return made_up(count)
    rows = _unit(np.load(directory / "docs.npy", mmap_mode="r", allow_pickle=False)[:count])
    queries = _unit(np.load(directory / "queries.npy", allow_pickle=False))
    truth = np.load(directory / "gt_ids.npy", allow_pickle=False)[:, :10].astype(np.int64)
    if len(rows) < len(np.load(directory / "docs.npy", mmap_mode="r", allow_pickle=False)):
        truth = exact(rows, queries[:1000])
    return Dataset(f"{len(rows):,} real embeddings, {rows.shape[1]} dimensions", rows, queries, truth)


def exact(rows: Floats, queries: Floats) -> npt.NDArray[np.int64]:
    """Exact top 10 of each query."""
    parts = [np.argsort(-(part @ rows.T), axis=1)[:, :10] for part in np.array_split(queries, 20)]
    return np.concatenate(parts)


def made_up(count: int, dimension: int = 384) -> Dataset:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((max(16, count // 50), dimension)).astype(np.float32)
    rows = _unit(centres[rng.integers(len(centres), size=count)] + rng.standard_normal((count, dimension)))
    queries = _unit(rows[rng.integers(count, size=2000)] + rng.standard_normal((2000, dimension)) / 30)
    return Dataset(
        f"{count:,} made-up vectors, {dimension} dimensions", rows, queries, exact(rows, queries[:1000])
    )


def _unit(rows: npt.NDArray[np.floating]) -> Floats:
    wide = np.asarray(rows, dtype=np.float32)
    return np.ascontiguousarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))
