"""Searches that go more than one way: by vector, by words, or by both, whose answers are fused; and those whose
answers are arranged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict

import numpy as np

from pykyro.model.arrangement import Arrangement
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import FUSE_DEPTH_MAX, QUERY_TEXT_BYTES_MAX
from pykyro.model.scalars import shown
from pykyro.model.types import Vector
from pykyro.model.words import bounded_float

VECTOR: Final = "vector"
TEXT: Final = "text"
LEGS: Final = (VECTOR, TEXT)
RRF: Final = "rrf"
WEIGHTS: Final = "weights"
RRF_CONSTANT: Final = 60
"""Cormack, Clarke, Büttcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning methods,
SIGIR 2009."""
WEIGHT_MAX: Final = 1e6
NO_VECTOR: Final[Vector] = np.empty(0, np.float32)
"""Of a request that names none."""


def stand_in(dimension: int) -> Vector:
    """What stands for the vector of a search that has none, and is never looked at."""
    return np.ones(dimension, np.float32)


class Weights(TypedDict, total=False):
    """How much each leg counts: 1 unless it is said."""

    vector: float
    text: float


class FuseOptions(TypedDict, total=False):
    """How legs are fused. With `weights` by scores, each divided by the best of its leg; with `rrf` by ranks."""

    rrf: Weights
    weights: Weights


FuseLike: TypeAlias = Literal["rrf", "weights"] | FuseOptions | Mapping[str, Any]


class DepthOptions(TypedDict, total=False):
    """How many of the best documents of each leg are looked at: 0, for the database's own, to 10,000."""

    vector: int
    text: int


DepthLike: TypeAlias = int | DepthOptions | Mapping[str, int]
"""One for both, or of each."""


class LegScore(NamedTuple):
    """What a leg says of a document. `rank` counts from 1, and is 0 behind the leg's depth."""

    leg: str
    rank: int
    score: float


class Span(NamedTuple):
    """A word of the query in a value: from the character `start` up to `end`."""

    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Legs:
    """What a search asks beside a vector. `text` None asks for no words. `depth` 0 is the database's own, and
    `depths`, if there are any, stand for it. `weights` and `depths` have one number a leg of LEGS."""

    text: str | None
    by_vector: bool = False
    fuse: str = RRF
    weights: tuple[float, ...] = (1.0, 1.0)
    depth: int = 0
    highlight: bool = False
    explain: bool = False
    arrangement: Arrangement | None = None
    depths: tuple[int, ...] = ()


def checked_legs(
    text: object,
    *,
    by_vector: bool,
    fuse: object = None,
    depth: object = 0,
    highlight: object,
    explain: object,
    arrangement: Arrangement | None = None,
) -> Legs | None:
    """What these arguments of a search ask; None when they ask for nothing but the nearest vectors. Raises
    InvalidArgument."""
    if text is None:
        if not by_vector:
            raise InvalidArgument("give a vector, a text, or both", field="vector")
        for name, value in (("fuse", fuse), ("depth", depth), ("highlight", highlight), ("explain", explain)):
            if value:
                raise InvalidArgument(f"{name} is for searches by words: give a text too", field=name)
        return None if arrangement is None else Legs(None, True, arrangement=arrangement)
    if not isinstance(text, str):
        raise InvalidArgument(f"text must be a text, got {shown(text)}", field="text")
    if len(text) > QUERY_TEXT_BYTES_MAX or len(text.encode(errors="replace")) > QUERY_TEXT_BYTES_MAX:
        raise InvalidArgument(
            f"text must have at most {QUERY_TEXT_BYTES_MAX} bytes in UTF-8, got {len(text)} characters",
            field="text",
        )
    if fuse is not None and not by_vector:
        raise InvalidArgument("fuse is for searches by a vector and a text: give a vector too", field="fuse")
    how, weights = _checked_fuse(fuse)
    one, depths = _checked_depth(depth)
    return Legs(text, by_vector, how, weights, one, bool(highlight), bool(explain), arrangement, depths)


def _checked_depth(depth: object) -> tuple[int, tuple[int, ...]]:
    """The depth of both legs, or that of each."""
    if isinstance(depth, Mapping):
        for leg in depth:
            if leg not in LEGS:
                raise InvalidArgument(
                    f"depth must name legs of {', '.join(LEGS)}, got {leg!r:.40}", field="depth"
                )
        return 0, tuple(_whole(depth.get(leg, 0), f"depth.{leg}") for leg in LEGS)
    return _whole(depth, "depth"), ()


def _whole(depth: object, field: str) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int) or not 0 <= depth <= FUSE_DEPTH_MAX:
        raise InvalidArgument(
            f"{field} must be a whole number from 0, for the database's own, to {FUSE_DEPTH_MAX}, got {shown(depth)}",
            field=field,
        )
    return depth


def _checked_fuse(fuse: object) -> tuple[str, tuple[float, ...]]:
    options: Mapping[Any, Any] = fuse if isinstance(fuse, Mapping) else {RRF if fuse is None else fuse: {}}
    (how, given) = next(iter(options.items()), (None, None))
    if len(options) != 1 or how not in (RRF, WEIGHTS) or not isinstance(given, Mapping):
        raise InvalidArgument(
            f'fuse must be "rrf", "weights", {{"rrf": {{leg: weight}}}} or {{"weights": {{leg: weight}}}}, got '
            f"{shown(fuse)}",
            field="fuse",
        )
    for leg in given:
        if leg not in LEGS:
            raise InvalidArgument(
                f"fuse.{how} must name legs of {', '.join(LEGS)}, got {leg!r:.40}", field=f"fuse.{how}"
            )
    weights = tuple(bounded_float(given.get(leg, 1.0), f"fuse.{how}.{leg}", 0.0, WEIGHT_MAX) for leg in LEGS)
    if not any(weights):
        raise InvalidArgument(f"fuse.{how} must give at least one leg a weight above 0", field=f"fuse.{how}")
    return str(how), weights
