"""From the rows of a segment to its graph and the facts about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.index.vector.codes import COMPONENT_MAX, Coder, Codes
from pykyro.index.vector.coding import Code, Coding, made_whole
from pykyro.index.vector.equal_rows import EqualRows, Ids, Keys, equal_rows, numbered, row_keys
from pykyro.index.vector.graph_build import GraphParameters, build_graph, extend_graph
from pykyro.index.vector.hnsw import Graph, graph_from_bytes
from pykyro.index.vector.self_test import (
    CodedRows,
    Doubles,
    Sample,
    codes_tell_apart,
    least_ef,
    spread_of_errors,
    take_sample,
)
from pykyro.index.vector.shape import Shape
from pykyro.model.types import Matrix, Metric, Rows

_EQUALLY_LONG: Final = 1e-5
"""Rows whose lengths differ by no more than this share are as good as equally long: float32 leaves the lengths of
normalised rows open by a hundredth of it."""
_ERROR_GROWTH_MAX: Final = 2.0
"""Rows whose codes are worse than this, against those of the graph, are outside what its codes can express."""


@dataclass(frozen=True, slots=True)
class RowsToShape:
    """Of each row its vector as stored, of shape (rows, dimension), its Euclidean length and its id."""

    vectors: Matrix
    norms: Doubles
    ids: Ids


def shape_rows(rows: RowsToShape, parameters: GraphParameters, threads: int = 1) -> tuple[Graph, Shape]:
    """A graph of these rows, at least one, and its shape."""
    first, vector_of = numbered(row_keys(rows.vectors, np.arange(len(rows.vectors))))
    coded_rows = CodedRows(_framed(rows, first, parameters.metric), rows.vectors, rows.norms, first)
    coded = _coded(coded_rows)
    sample = take_sample(coded_rows)
    chosen = _chosen(sample, coded_rows)
    coding, codes_of = _measured(coded_rows, chosen, sample)
    first_of_point, point_of = numbered(codes_of)
    points = coded if len(first_of_point) == len(coded) else coded[first_of_point]
    del coded
    if coding.code is Code.I8:
        made_whole(points)
    graph = build_graph(points, parameters, coding.code, by_product=coding.by_product, threads=threads)
    ef, recall = least_ef(sample, graph, coding.code, point_of, len(rows.vectors))
    equal = _equal(rows, point_of[vector_of], graph.ntotal)
    return graph, Shape(coding, equal, ef, recall)


def extend_shape(
    source: npt.NDArray[np.uint8],
    shape: Shape,
    rows: RowsToShape,
    known: int,
    threads: int = 1,
) -> tuple[Graph, Shape] | None:
    """A graph of `rows` grown from one, `source`, of the first `known` of them, and its shape; None when its codes do
    not serve the others, so that a new graph is needed."""
    if known == len(rows.vectors):
        return graph_from_bytes(source), shape
    if shape.coding.by_product:
        return None
    base = graph_from_bytes(source)
    keys = row_keys(rows.vectors, np.arange(known, len(rows.vectors)))
    first, vector_of = numbered(keys)
    added = CodedRows(shape.coding, rows.vectors, rows.norms, first + known)
    if not _fit(added):
        return None
    base_coder = Coder(shape.coding.code, rows.vectors.shape[1])
    coding, added_codes = _checked_codes(added, base_coder)
    if coding.error > _ERROR_GROWTH_MAX * shape.coding.error:
        return None
    code_keys = Keys(base.codes().shape[1])
    all_keys = np.concatenate([code_keys.of(base.codes()), code_keys.of(added_codes)])
    first_of_point, point_of_code = numbered(all_keys)
    if len(first_of_point) < base.ntotal or (first_of_point[: base.ntotal] != np.arange(base.ntotal)).any():
        return None
    new = first_of_point[base.ntotal :] - base.ntotal
    points = _coded(replace(added, numbers=added.numbers[new]))
    if coding.code is Code.I8:
        made_whole(points)
    base_points, base_rows = _points_of(shape.equal, known)
    graph = extend_graph(source, points, threads)
    coding = replace(
        coding,
        error=max(coding.error, shape.coding.error),
        longest=max(coding.longest, shape.coding.longest),
        coded_length=max(coding.coded_length, shape.coding.coded_length),
    )
    standing = CodedRows(coding, rows.vectors, rows.norms, np.concatenate([base_rows, added.numbers[new]]))
    sample = take_sample(standing)
    if coding.code is not Code.F32 and not codes_tell_apart(sample, standing, base_coder):
        return None
    coding = replace(coding, spread=spread_of_errors(sample, standing, base_coder))
    ef, recall = least_ef(sample, graph, coding.code, np.arange(len(standing)), len(rows.vectors))
    point_of = np.concatenate([base_points, point_of_code[base.ntotal :][vector_of]])
    return graph, Shape(coding, _equal(rows, point_of, graph.ntotal), ef, recall)


def _framed(rows: RowsToShape, first: Rows, metric: Metric) -> Coding:
    """Centre and scale for these rows; of their codes nothing is known yet."""
    norms = rows.norms[first]
    longest, shortest = float(norms.max()), float(norms.min())
    by_product = metric is Metric.INNER_PRODUCT and not longest - shortest <= _EQUALLY_LONG * longest
    if metric is Metric.COSINE:
        longest = 1.0
    coding = Coding(
        metric=metric,
        code=Code.F32,
        centre=np.zeros(rows.vectors.shape[1]),
        scale=1.0,
        by_product=by_product,
        radius=(longest + shortest) / 2 if metric is Metric.INNER_PRODUCT and not by_product else 0.0,
        longest=longest,
        coded_length=0.0,
        error=0.0,
        spread=1.0,
    )
    plain = CodedRows(coding, rows.vectors, rows.norms, first)
    if not by_product:
        total = np.zeros(rows.vectors.shape[1])
        for _, chunk in plain.chunks():
            total += chunk.sum(axis=0)
        plain = replace(plain, coding=replace(coding, centre=total / len(first)))
    largest = max(float(np.abs(chunk).max()) for _, chunk in plain.chunks())
    return replace(plain.coding, scale=COMPONENT_MAX / largest if largest > 0 else 1.0)


def _coded(rows: CodedRows) -> Matrix:
    coded = np.empty((len(rows), rows.vectors.shape[1]), np.float32)
    for start, chunk in rows.chunks():
        coded[start : start + len(chunk)] = chunk
    return coded


def _chosen(sample: Sample, rows: CodedRows) -> Coder:
    """The shortest codes that tell the rows apart, or else float32."""
    dimension = rows.vectors.shape[1]
    for code in (Code.BF16,) if rows.coding.by_product else (Code.I8, Code.BF16):
        made = Coder(code, dimension)
        if codes_tell_apart(sample, rows, made):
            return made
    return Coder(Code.F32, dimension)


def _measured(rows: CodedRows, chosen: Coder, sample: Sample) -> tuple[Coding, npt.NDArray[np.uint64]]:
    """The coding with what its codes do to the rows, and a key for the code of each."""
    keys: list[npt.NDArray[np.uint64]] = []
    maker: Keys | None = None
    error = longest = 0.0
    for codes, wrong, length in _encoded(rows, chosen):
        maker = maker or Keys(codes.shape[1])
        keys.append(maker.of(codes))
        error, longest = max(error, wrong), max(longest, length)
    spread = spread_of_errors(sample, rows, chosen)
    coding = replace(rows.coding, code=chosen.code, error=error, coded_length=longest, spread=spread)
    return coding, np.concatenate(keys)


def _checked_codes(rows: CodedRows, made: Coder) -> tuple[Coding, Codes]:
    """As `_measured`, for rows that join others: their codes themselves, and what is true of these rows alone."""
    parts: list[Codes] = []
    error = longest = 0.0
    for codes, wrong, length in _encoded(rows, made):
        parts.append(codes)
        error, longest = max(error, wrong), max(longest, length)
    norms = rows.norms[rows.numbers]
    length = 1.0 if rows.coding.metric is Metric.COSINE else float(norms.max())
    return replace(rows.coding, error=error, coded_length=longest, longest=length), np.concatenate(parts)


def _encoded(rows: CodedRows, made: Coder) -> Iterator[tuple[Codes, float, float]]:
    """Codes, piece by piece, with the largest error and the greatest length of their rows."""
    for _, chunk in rows.chunks():
        codes = made.encode(chunk.astype(np.float32))
        wrong = made.decode(codes) - chunk
        yield (
            codes,
            float(np.sqrt(np.vecdot(wrong, wrong).max())),
            float(np.sqrt(np.vecdot(chunk, chunk).max())),
        )


def _fit(rows: CodedRows) -> bool:
    """Whether rows that are to join a graph by distance of inner products are as long as the others."""
    if rows.coding.metric is not Metric.INNER_PRODUCT:
        return True
    apart = np.abs(rows.norms[rows.numbers] - rows.coding.radius)
    return bool((apart <= _EQUALLY_LONG / 2 * rows.coding.radius).all())


def _points_of(equal: EqualRows | None, known: int) -> tuple[Rows, Rows]:
    """The point of each of the known rows, and a row of each point."""
    if equal is None:
        return np.arange(known), np.arange(known)
    return equal.point_of, equal.point_rows[equal.class_starts[equal.point_classes[:-1]]]


def _equal(rows: RowsToShape, point_of: Rows, points: int) -> EqualRows | None:
    return None if points == len(point_of) else equal_rows(point_of, rows.vectors, rows.ids)
