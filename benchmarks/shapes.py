"""Geometries that data can have, and that graphs of rounded inner products answer badly.

Each shape draws rows, and from where they came from questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.model.types import Matrix, Metric

Doubles: TypeAlias = npt.NDArray[np.float64]
Draw: TypeAlias = Callable[[np.random.Generator, int], Doubles]


@dataclass(frozen=True, slots=True)
class Geometry:
    """`make` gets a source of chance and the number of rows to come, and gives what draws rows and what draws
    questions."""

    name: str
    metric: Metric
    dimension: int
    make: Callable[[np.random.Generator, int], tuple[Draw, Draw]]

    def drawn(self, rows: int, questions: int, seed: int = 11) -> tuple[Matrix, Matrix]:
        """Rows and questions, float32."""
        source = np.random.default_rng(seed)
        draw, ask = self.make(source, rows)
        return (
            np.ascontiguousarray(draw(source, rows), dtype=np.float32),
            np.ascontiguousarray(ask(source, questions), dtype=np.float32),
        )


def unit(rows: Doubles) -> Doubles:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def families(dimension: int, count: int, noise: float) -> Callable[..., tuple[Draw, Draw]]:
    """Near-duplicates: `count` centres, and what lies `noise` away from one."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        centres = unit(source.standard_normal((count, dimension)))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            chosen = centres[source.integers(0, count, n)]
            return np.asarray(chosen + noise * unit(source.standard_normal((n, dimension))))

        return draw, draw

    return make


def family_in_the_crowd(dimension: int, noise: float) -> Callable[..., tuple[Draw, Draw]]:
    """One family that is a small share of the rows, and asked for."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        centre = unit(source.standard_normal(dimension))

        def near(source: np.random.Generator, n: int) -> Doubles:
            return np.asarray(centre + noise * unit(source.standard_normal((n, dimension))))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            few = n // 40
            drawn = np.concatenate([near(source, few), source.standard_normal((n - few, dimension))])
            return np.asarray(drawn[source.permutation(n)])

        return draw, near

    return make


def around(dimension: int, far: float, spread: float = 1.0) -> Callable[..., tuple[Draw, Draw]]:
    """Gaussian, so far from the origin."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        centre = far * unit(source.standard_normal(dimension))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            return np.asarray(centre + spread * source.standard_normal((n, dimension)))

        return draw, draw

    return make


def hot(dimension: int, count: int) -> Callable[..., tuple[Draw, Draw]]:
    """`count` components near one, the others zero."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        def draw(source: np.random.Generator, n: int) -> Doubles:
            drawn = np.zeros((n, dimension))
            at = source.integers(0, dimension, (n, count))
            drawn[np.arange(n)[:, np.newaxis], at] = 1 + 0.01 * source.random((n, count))
            return drawn

        return draw, draw

    return make


def mixed_lengths(dimension: int, sigma: float) -> Callable[..., tuple[Draw, Draw]]:
    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        centres = source.standard_normal((40, dimension))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            drawn = centres[source.integers(0, 40, n)] + 0.6 * source.standard_normal((n, dimension))
            return np.asarray(drawn * source.lognormal(0, sigma, (n, 1)))

        return draw, draw

    return make


def identical(dimension: int, groups: int, share: float) -> Callable[..., tuple[Draw, Draw]]:
    """Groups of equal rows, that share of all; half of the questions are such rows."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        known = source.standard_normal((groups, dimension))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            copies = int(n * share)
            drawn = np.concatenate(
                [known[np.arange(copies) % groups], source.standard_normal((n - copies, dimension))]
            )
            return np.asarray(drawn[source.permutation(n)])

        def ask(source: np.random.Generator, n: int) -> Doubles:
            some = known[source.integers(0, groups, n // 2)]
            return np.concatenate([some, source.standard_normal((n - n // 2, dimension))])

        return draw, ask

    return make


def low_rank(dimension: int, rank: int) -> Callable[..., tuple[Draw, Draw]]:
    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        base = source.standard_normal((rank, dimension))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            return np.asarray(source.standard_normal((n, rank)) @ base)

        return draw, draw

    return make


def lattice(dimension: int, values: int) -> Callable[..., tuple[Draw, Draw]]:
    """Small integers: many rows are equally far."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        def draw(source: np.random.Generator, n: int) -> Doubles:
            drawn = source.integers(0, values, (n, dimension)).astype(np.float64)
            drawn[:, 0] += 1  # no row of zeros, which cosine refuses
            return drawn

        return draw, draw

    return make


def clusters(dimension: int, count: int, spread: float) -> Callable[..., tuple[Draw, Draw]]:
    """What text looks like to a graph: clusters that overlap."""

    def make(source: np.random.Generator, rows: int) -> tuple[Draw, Draw]:
        centres = source.standard_normal((count, dimension))

        def draw(source: np.random.Generator, n: int) -> Doubles:
            return np.asarray(
                centres[source.integers(0, count, n)] + spread * source.standard_normal((n, dimension))
            )

        return draw, draw

    return make


COSINE, EUCLIDEAN, PRODUCT = Metric.COSINE, Metric.EUCLIDEAN, Metric.INNER_PRODUCT

SHAPES: Final = (
    Geometry("clusters", COSINE, 128, clusters(128, 200, 0.6)),
    Geometry("families, cosine 0.918", COSINE, 384, families(384, 10, 0.3)),
    Geometry("families, cosine 0.9975", COSINE, 384, families(384, 10, 0.05)),
    Geometry("families, cosine 0.9999", COSINE, 384, families(384, 10, 0.01)),
    Geometry("families, cosine 0.999999", COSINE, 384, families(384, 10, 0.001)),
    Geometry("families, cosine 0.99999999", COSINE, 384, families(384, 10, 0.0001)),
    Geometry("families of unit rows by product, 0.9999", PRODUCT, 128, families(128, 10, 0.01)),
    Geometry("families, Euclidean", EUCLIDEAN, 128, families(128, 200, 0.003)),
    Geometry("a family in the crowd, 0.9999", COSINE, 128, family_in_the_crowd(128, 0.01)),
    Geometry("a large common part", COSINE, 256, around(256, 100.0)),
    Geometry("a large common part by product", PRODUCT, 64, around(64, 100.0)),
    Geometry("far from the origin, 10", EUCLIDEAN, 64, around(64, 10.0)),
    Geometry("far from the origin, 3000", EUCLIDEAN, 64, around(64, 3000.0)),
    Geometry("far from the origin, 10000", EUCLIDEAN, 32, around(32, 10000.0)),
    Geometry("one tight cluster", EUCLIDEAN, 128, around(128, 11.0, 1e-3)),
    Geometry("one tight cluster, cosine", COSINE, 128, around(128, 11.0, 1e-3)),
    Geometry("three-hot", COSINE, 300, hot(300, 3)),
    Geometry("three-hot, Euclidean", EUCLIDEAN, 300, hot(300, 3)),
    Geometry("three-hot by product", PRODUCT, 300, hot(300, 3)),
    Geometry("mixed lengths by product, 0.3", PRODUCT, 64, mixed_lengths(64, 0.3)),
    Geometry("mixed lengths by product, 0.7", PRODUCT, 64, mixed_lengths(64, 0.7)),
    Geometry("identical, 8 groups, all", COSINE, 32, identical(32, 8, 1.0)),
    Geometry("identical, 20 groups, half", COSINE, 32, identical(32, 20, 0.5)),
    Geometry("identical, pairs", COSINE, 32, identical(32, 2000, 1.0)),
    Geometry("identical, Euclidean", EUCLIDEAN, 32, identical(32, 4, 0.8)),
    Geometry("identical by product", PRODUCT, 32, identical(32, 20, 0.5)),
    Geometry("rank 8 of 384", COSINE, 384, low_rank(384, 8)),
    Geometry("rank 32 of 384", COSINE, 384, low_rank(384, 32)),
    Geometry("two components", EUCLIDEAN, 2, around(2, 0.0)),
    Geometry("two components, cosine", COSINE, 2, around(2, 0.0)),
    Geometry("three components", EUCLIDEAN, 3, around(3, 5.0)),
    Geometry("three components by product", PRODUCT, 3, around(3, 0.0)),
    Geometry("1536 components", COSINE, 1536, clusters(1536, 100, 0.8)),
    Geometry("integer lattice", EUCLIDEAN, 8, lattice(8, 6)),
    Geometry("integer lattice by product", PRODUCT, 8, lattice(8, 6)),
    Geometry("binary", EUCLIDEAN, 64, lattice(64, 2)),
    Geometry("binary, cosine", COSINE, 64, lattice(64, 2)),
    Geometry("tiny, Euclidean", EUCLIDEAN, 32, around(32, 1e-23, 1e-23)),
    Geometry("tiny by product", PRODUCT, 32, around(32, 1e-23, 1e-23)),
    Geometry("huge, cosine", COSINE, 32, around(32, 0.0, 1e20)),
    Geometry("huge, Euclidean", EUCLIDEAN, 32, around(32, 0.0, 1e37)),
    Geometry("huge by product", PRODUCT, 32, around(32, 0.0, 1e30)),
)
