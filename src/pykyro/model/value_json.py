"""Lists and dicts as JSON, and back, so that what goes in comes out.

JSON has no times and no infinite numbers. A dict with one key that begins with "$" stands for them:

    {"$time": "2020-01-31T12:00:00Z"}     a time
    {"$float": "inf"}                     an infinite float, or "-inf"
    {"$object": {"$a": 1}}                the dict {"$a": 1}, whose only key would be read as one of these

A float has a point or an exponent, an integer neither. The text is compact and not limited to ASCII.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import METADATA_KEY_BYTES_MAX, VALUE_DEPTH_MAX
from pykyro.model.scalars import (
    INT_MAX,
    INT_MIN,
    float_text,
    parse_time,
    require_integer,
    require_utf8,
    shown,
    time_text,
)

_TIME, _FLOAT, _OBJECT = "$time", "$float", "$object"
_INFINITE: Final = {"inf": math.inf, "-inf": -math.inf}


def dump_value(value: Iterable[Any] | Mapping[Any, Any], field: str) -> str:
    """The JSON of a list or dict. Raises InvalidArgument naming the part that cannot be kept."""
    tree = to_json(value, field)
    return require_utf8(json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":")), field)


def to_json(value: Any, field: str) -> Any:
    """A value of any type as what JSON has for it. Raises InvalidArgument naming the part that cannot be kept."""
    return _tree(value, field, 1)


def from_json(tree: Any) -> Any:
    """The value that `to_json` made this of. Raises ValueError for what it could not have been."""
    return _value(tree, 1)


def load_value(text: str) -> Any:
    """The list or dict that `dump_value` wrote. Raises ValueError for text that it could not have meant."""
    try:
        tree = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"it is nested more than {VALUE_DEPTH_MAX} levels deep, the maximum") from None
    return from_json(tree)


def parts_of(path: str | None, value: Any) -> int:
    """How many elements and entries a list or dict has, in all its levels; `path` is its key, None in a list.

    Raises InvalidArgument when the path of an entry, which filters name, is too long.
    """
    if isinstance(value, list):
        return len(value) + sum(parts_of(None, element) for element in value)
    if not isinstance(value, dict):
        return 0
    count = len(value)
    for key, inner in value.items():
        below = None if path is None else f"{path}.{key}"
        if below is not None and len(below.encode()) > METADATA_KEY_BYTES_MAX:
            raise InvalidArgument(
                f"metadata has the path {below[:40]!r}… of {len(below.encode())} bytes; the maximum is "
                f"{METADATA_KEY_BYTES_MAX}",
                field="metadata",
            )
        count += parts_of(below, inner)
    return count


def _tree(value: Any, field: str, depth: int) -> Any:
    """What JSON has for a value inside a list or dict, or for one of these."""
    if isinstance(value, Mapping):
        return _object(value, field, depth)
    if isinstance(value, np.ndarray):
        value = listed(value, field)
    if isinstance(value, (list, tuple)):
        _require_shallow(field, depth)
        return [_tree(element, f"{field}[{at}]", depth + 1) for at, element in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, np.integer)):
        return require_integer(int(value), field)
    if isinstance(value, (float, np.floating)):
        # The text first, which a narrow float of NumPy's has fewer digits in than its neighbour of 64 bits.
        number = float(float_text(value, field))
        return {_FLOAT: float_text(number, field)} if math.isinf(number) else number
    if isinstance(value, datetime):
        return {_TIME: time_text(value, field)}
    raise InvalidArgument(
        f"{field} must be text, a number, a bool, None, a datetime, a list or a dict, got {shown(value)}",
        field=field,
    )


def _object(value: Mapping[Any, Any], field: str, depth: int) -> dict[str, Any]:
    _require_shallow(field, depth)
    tree: dict[str, Any] = {}
    for key, inner in value.items():
        if not isinstance(key, str):
            raise InvalidArgument(f"{field} has a key that is not text: {shown(key)}", field=field)
        tree[str.__str__(key)] = _tree(inner, f"{field}.{key}", depth + 1)
    return {_OBJECT: tree} if _is_special(tree) else tree


def listed(value: np.ndarray[Any, Any], field: str) -> list[Any]:
    """The elements of a one-dimensional array of NumPy's."""
    if value.ndim != 1 or (isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value)):
        raise InvalidArgument(
            f"{field} must be an array of one dimension without masked elements, got shape {value.shape}",
            field=field,
        )
    return list(value)


def _require_shallow(field: str, depth: int) -> None:
    if depth > VALUE_DEPTH_MAX:
        raise InvalidArgument(
            f"{field[:80]} is nested more than {VALUE_DEPTH_MAX} levels deep, the maximum", field="metadata"
        )


def _is_special(tree: Mapping[str, Any]) -> bool:
    return len(tree) == 1 and next(iter(tree)).startswith("$")


def _value(tree: Any, depth: int) -> Any:
    """The value that JSON's own values stand for."""
    if isinstance(tree, str):
        tree.encode()
        return tree
    if isinstance(tree, int) and not isinstance(tree, bool):
        if not INT_MIN <= tree <= INT_MAX:
            raise ValueError(f"a number in it has {tree.bit_length()} bits")
        return tree
    if not isinstance(tree, (list, dict)):
        return tree
    if isinstance(tree, dict) and _is_special(tree):
        ((name, inner),) = tree.items()
        if name == _TIME and isinstance(inner, str):
            return parse_time(inner)
        if name == _FLOAT and isinstance(inner, str) and inner in _INFINITE:
            return _INFINITE[inner]
        if name != _OBJECT or not isinstance(inner, dict) or not _is_special(inner):
            raise ValueError(f"an object in it whose only key is {name[:40]!r} stands for nothing")
        tree = inner
    if depth > VALUE_DEPTH_MAX:
        raise ValueError(f"it is nested more than {VALUE_DEPTH_MAX} levels deep, the maximum")
    if isinstance(tree, list):
        return [_value(element, depth + 1) for element in tree]
    for key in tree:
        key.encode()
    return {key: _value(inner, depth + 1) for key, inner in tree.items()}


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object in it has a key twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} in it is too large for a float")
    return number
