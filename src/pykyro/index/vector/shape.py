"""What a segment knows about its graph: how rows became codes, which rows share a point, and how far to look.

Stored in the segment's .shape file as these arrays and attributes:

    centre                                    f64  dimension, see coding.py
    point_rows, class_starts, point_classes   only where rows share points, see equal_rows.py

    code "i8", "bf16" or "f32" · scale, by_product, radius, longest, coded_length, error, spread: see coding.py
    ef      least ef that found what the self-test looked for; 0: none did, so the segment is scanned
    recall  the share it found with that ef, or with the largest that was tried
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.vector.coding import Code, Coding, old_coding
from pykyro.index.vector.equal_rows import EqualRows
from pykyro.model.limits import EF_SEARCH_MAX
from pykyro.model.types import Metric

_NUMBERS: Final = ("scale", "radius", "longest", "coded_length", "error", "spread")
_LISTS: Final = ("point_rows", "class_starts", "point_classes")


@dataclass(frozen=True, slots=True)
class Shape:
    """`equal` is None where every row is a point of its own, `ef` as stored, None where nobody measured it."""

    coding: Coding
    equal: EqualRows | None
    ef: int | None
    recall: float

    @property
    def sections(self) -> dict[str, npt.NDArray[Any]]:
        lists = {} if self.equal is None else self.equal.sections()
        return {"centre": self.coding.centre, **lists}

    @property
    def attributes(self) -> dict[str, Any]:
        coding = self.coding
        numbers = {name: getattr(coding, name) for name in _NUMBERS}
        return {
            "code": coding.code.value,
            "by_product": coding.by_product,
            **numbers,
            "ef": self.ef,
            "recall": self.recall,
        }


def read_shape(
    sections: Mapping[str, npt.NDArray[Any]], attributes: Mapping[str, Any], metric: Metric
) -> Shape:
    """The shape from what `sections` and `attributes` gave. Raises ValueError when they cannot have."""
    centre = sections.get("centre")
    if centre is None or centre.dtype != np.float64 or centre.ndim != 1 or not np.isfinite(centre).all():
        raise ValueError("no centre")
    numbers = {}
    for name in _NUMBERS:
        value = attributes.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value!r}, not a number from 0")
        numbers[name] = float(value)
    ef, recall, by_product = attributes.get("ef"), attributes.get("recall"), attributes.get("by_product")
    if type(ef) is not int or not 0 <= ef <= EF_SEARCH_MAX:
        raise ValueError(f"ef is {ef!r}, not a number from 0 to {EF_SEARCH_MAX}")
    if not isinstance(recall, int | float) or type(by_product) is not bool or numbers["scale"] == 0:
        raise ValueError("recall, by_product or scale has no value")
    coding = Coding(
        metric=metric,
        code=Code(attributes.get("code")),
        centre=np.array(centre),
        by_product=by_product,
        **numbers,
    )
    equal = EqualRows(sections) if all(name in sections for name in _LISTS) else None
    return Shape(coding, equal, ef, float(recall))


def old_shape(metric: Metric, dimension: int, longest: float) -> Shape:
    """Of a segment whose graph an earlier version wrote."""
    return Shape(old_coding(metric, dimension, longest), None, None, math.nan)
