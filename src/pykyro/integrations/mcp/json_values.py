"""Values of metadata and filters between JSON and Python, in both directions.

JSON has neither times nor infinite floats: {"$time": "2020-01-31T12:00:00Z"} and {"$float": "-inf"} stand for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pykyro

_TIME: Final = "$time"
_FLOAT: Final = "$float"


def to_json(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return {_TIME: value.isoformat().replace("+00:00", "Z")}
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, Mapping):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [to_json(one) for one in value]
    return value


def from_json(value: Any, path: str) -> Any:
    """The value that JSON stands for. Raises InvalidArgument that names the path of what is no time or float."""
    if isinstance(value, Mapping):
        if set(value) == {_TIME}:
            return _read(datetime.fromisoformat, value[_TIME], path)
        if set(value) == {_FLOAT}:
            return _read(float, value[_FLOAT], path)
        return {key: from_json(one, f"{path}.{key}") for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [from_json(one, f"{path}[{at}]") for at, one in enumerate(value)]
    return value


def _read(reader: Any, text: object, path: str) -> Any:
    try:
        return reader(text)
    except (TypeError, ValueError) as error:
        raise pykyro.InvalidArgument(f"{path}: {error}", field=path) from None
