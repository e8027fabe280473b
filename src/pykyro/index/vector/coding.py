"""What a graph holds in place of a segment's rows, and how far what it reports can be from the truth.

    row         its index form: of length one for cosine, as it is otherwise
    coded row   (row - centre) * scale, so that no component is larger than codes.COMPONENT_MAX
    code        the coded row in whole numbers of 8 bits, which graphs by inner product do not have, in bfloat16, or
                in float32

Rows are compared by squared distance, which is formed component by component before anything is summed; so what all
rows have in common cancels, and the digits of a code are left for what differs. For rows of length one the order by
distance is the order by cosine, and by inner product too. Inner products of rows of unequal length are no distance:
those graphs go by inner product, of rows that are scaled and not centred (a graph of centred ones leads astray).

A code is at most `error` away from its row. Errors of rounding point anywhere, so along the line from a row to a
query hardly any of it shows: never more than the share `spread` among the rows and queries that the self-test
looked at. A bound made with that share is one to go by; only one made with the whole error is a proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pykyro.model.distance import Query, shown_alike_from
from pykyro.model.types import Matrix, Metric, Vector

Doubles = npt.NDArray[np.float64]

_WHOLE_MIN: Final = -128.0
_WHOLE_MAX: Final = 127.0
_UNIT: Final = 2.0**-24
"""Rounding of one float32 operation."""
_CODED_MAX: Final = 1e15
"""A query with a larger component than this is too far from the rows: squares would leave float32."""
_UNDERFLOW: Final = 1e-34
"""What products too small for float32 can add up to in a sum of as many terms as a vector may have."""
_COSINE_ROOM: Final = 1e-14
"""What float64 leaves open of 2 - 2 cos."""
_OLD_ROUNDING: Final = 2.0**-8
"""Of bfloat16, relative to the length of a row."""
_OLD_LENGTH_MIN: Final = 1e-30


def made_whole(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Coded rows or queries as 8 bits can hold them, in place. The library would cut off what follows the
    point, and begin again at the other end; of queries too, for it compares whole numbers."""
    np.rint(rows, out=rows)
    np.minimum(rows, _WHOLE_MAX, out=rows)  # np.clip takes five times as long for one query
    np.maximum(rows, _WHOLE_MIN, out=rows)
    return rows


class Code(Enum):
    """Bits of a component: 8, 16 or 32."""

    I8 = "i8"
    BF16 = "bf16"
    F32 = "f32"


class CodedQuery(NamedTuple):
    """A query as a graph is asked it: `vector`, float32 of shape (dimension,), at most `error` away from what it
    stands for, whose length is `length`. `rounding` is how far rounding to float32 moves it and a decoded row.
    `factor` turns a reported inner product into a similarity. `comparable` is
    False where float32 cannot compare it with the rows."""

    vector: Vector
    length: float
    error: float
    rounding: float
    factor: float
    comparable: bool


@dataclass(frozen=True)
class Coding:
    """How rows and queries of one segment are coded.

    `centre` has shape (dimension,). `by_product` graphs go by inner product. `radius` is the length that queries
    are given in a graph by distance of inner products, `longest` that of the longest row in index form, and
    `coded_length` that of the longest coded row.
    """

    metric: Metric
    code: Code
    centre: Doubles
    scale: float
    by_product: bool
    radius: float
    longest: float
    coded_length: float
    error: float
    spread: float

    # --- coding -------------------------------------------------------------------------------------

    def rows(self, vectors: Matrix, norms: Doubles) -> Doubles:
        """Coded rows, float64, of stored vectors of shape (n, dimension) and their lengths."""
        coded = vectors.astype(np.float64)
        if self.metric is Metric.COSINE:
            coded /= norms[:, np.newaxis]
        coded -= self.centre
        coded *= self.scale
        return coded

    def coded(self, query: Query) -> CodedQuery:
        """A query as the graph is asked it."""
        wide, factor = query.wide, 1.0
        if self.by_product:
            largest = float(np.abs(wide).max())
            share = 1.0 / largest if largest > 0 and self.scale != 0 else 1.0
            factor = 1.0 / (share * self.scale)
            if self.metric is Metric.COSINE:
                factor /= query.length
            coded = wide * share
        else:
            if self.metric is Metric.EUCLIDEAN:
                coded = (wide - self.centre) * self.scale
            else:
                length = self.radius if self.metric is Metric.INNER_PRODUCT else 1.0
                coded = wide * (self.scale * length / query.length if query.length > 0 else 0.0)
                coded -= self._shift
        length = math.sqrt(coded.dot(coded))
        if not length < _CODED_MAX:
            return CodedQuery(
                np.zeros(len(coded), np.float32), length, math.inf, 0.0, factor, comparable=False
            )
        rounding = 4 * _UNIT * (length + 2 * self.coded_length)
        if self.code is not Code.I8:
            return CodedQuery(coded.astype(np.float32), length, 0.0, rounding, factor, comparable=True)
        whole = np.maximum(
            np.minimum(np.rint(coded), _WHOLE_MAX), _WHOLE_MIN
        )  # as made_whole, without a call
        coded -= whole
        error = math.sqrt(coded.dot(coded))
        return CodedQuery(whole.astype(np.float32), length, error, rounding, factor, comparable=True)

    # --- what a report means ------------------------------------------------------------------------

    def least_reported(self, similarity: float, query: Query, coded: CodedQuery, *, proved: bool) -> float:
        """What the graph reports of each row at least this similar, or shown as equally similar, is no less
        than this;
        minus infinity when it can be anything. Negated squared distances count as reports. By the share `spread`
        unless `proved`."""
        share = 1.0 if proved else self.spread
        similarity = shown_alike_from(similarity, self.metric)
        if not coded.comparable:
            return -math.inf
        if self.by_product:
            room = coded.length * (share * self.error + self._summing * self.coded_length)
            return similarity / coded.factor - room - _UNDERFLOW
        # The largest distance, in the graph's units, of a row as similar as that.
        if self.metric is Metric.EUCLIDEAN:
            square = -similarity
        elif self.metric is Metric.COSINE:
            square = 2 - 2 * similarity + _COSINE_ROOM
        elif query.length > 0:
            square = self.radius**2 + self.longest**2 - 2 * self.radius / query.length * similarity
            square += _COSINE_ROOM * self.longest**2
        else:
            return -math.inf
        distance = self.scale * math.sqrt(max(0.0, square))
        error = self.error + coded.error if proved else math.hypot(self.error, coded.error)
        reported = math.sqrt(distance * distance + 2 * share * distance * error + error * error)
        reported += coded.rounding
        return -reported * reported * (1 + self._summing) - _UNDERFLOW

    def similarity_at_most(self, reported: float, query: Query, coded: CodedQuery) -> float:
        """Highest true similarity of a row of which no more than this is reported; proved."""
        if not coded.comparable or not math.isfinite(reported):
            return math.inf
        if self.by_product:
            room = coded.length * (self.error + self._summing * self.coded_length)
            return (reported + room + _UNDERFLOW) * coded.factor
        distance = math.sqrt(max(0.0, -reported - _UNDERFLOW) / (1 + self._summing))
        distance -= coded.rounding + self.error + coded.error
        square = (max(0.0, distance) / self.scale) ** 2
        if self.metric is Metric.EUCLIDEAN:
            return -square
        if self.metric is Metric.COSINE:
            return min(1.0, 1.0 - square / 2 + _COSINE_ROOM)
        if not self.radius:
            return math.inf
        return query.length * (self.radius**2 + self.longest**2 - square) / (2 * self.radius)

    @cached_property
    def _shift(self) -> Doubles:
        return self.centre * self.scale

    @cached_property
    def _summing(self) -> float:
        """Relative error of a sum of as many terms in float32 (Higham, Accuracy and Stability of Numerical
        Algorithms, 2nd ed., section 3.1)."""
        return (len(self.centre) + 16) * 2 * _UNIT


def old_coding(metric: Metric, dimension: int, longest: float) -> Coding:
    """Of graphs written by earlier versions: bfloat16 rows in index form, neither centred nor scaled, cosine
    and inner product by inner product. Nothing is known of their errors but what bfloat16 promises."""
    by_product = metric is not Metric.EUCLIDEAN
    length = 1.0 if metric is Metric.COSINE else max(longest, _OLD_LENGTH_MIN)
    return Coding(
        metric=metric,
        code=Code.BF16,
        centre=np.zeros(dimension),
        scale=1.0,
        by_product=by_product,
        radius=0.0,
        longest=length,
        coded_length=length,
        error=_OLD_ROUNDING * length,
        spread=1.0,
    )
