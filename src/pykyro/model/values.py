"""Values of metadata between Python and the form in which they are kept (pykyro.model.typed_text)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import OPERAND_INTEGER_DIGITS_MAX, VALUE_ELEMENTS_MAX
from pykyro.model.metadata_wire import decode_texts
from pykyro.model.scalars import (
    date_hint,
    float_text,
    parse_float,
    parse_integer,
    parse_time,
    require_integer,
    require_utf8,
    shown,
    shown_error,
    time_text,
)
from pykyro.model.typed_text import (
    CLASSES,
    TEXT,
    BoolText,
    FloatText,
    IntText,
    ListText,
    NullText,
    ObjectText,
    TimeText,
    TypedText,
    is_typed,
    tag_of,
)
from pykyro.model.value_json import dump_value, listed, load_value, parts_of

MetadataValue: TypeAlias = Any
"""str, int of 64 bits, float, bool, None, datetime with a zone, list or dict of these; NumPy's scalars and arrays of
one dimension too. What comes out is str, int, float, bool, None, datetime in UTC, list, dict."""

_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "t": str.__str__,
    "i": int,
    "f": float,
    "b": {"true": True, "false": False}.__getitem__,
    "n": {"null": None}.__getitem__,
    "d": datetime.fromisoformat,
    "l": load_value,
    "o": load_value,
}
"""For texts that were checked when they came, by tag."""
_CHECKED_READERS: Final = {**_READERS, "i": parse_integer, "f": parse_float, "d": parse_time}


NAMES: Final[Mapping[str, str]] = {
    "t": "text",
    "i": "integer",
    "f": "float",
    "b": "bool",
    "n": "null",
    "d": "time",
    "l": "list",
    "o": "object",
}
"""The types in words, by tag."""


def text_form(value: object, field: str) -> str:
    """The value as it is kept: a plain str for text, a TypedText for what is not.

    Raises InvalidArgument that names the field and what there is instead of a value.
    """
    if isinstance(value, TypedText) and type(value) in CLASSES.values():
        return value
    if isinstance(value, str):
        # A plain one of the same characters, for the classes of others (an Enum that is a str) bring methods along.
        return require_utf8(value if type(value) is str else str.__str__(value), field)
    if value is None:
        return NullText("null")
    if isinstance(value, (bool, np.bool_)):
        return BoolText("true" if value else "false")
    if isinstance(value, (int, np.integer)):
        return IntText(require_integer(int(value), field))
    if isinstance(value, (float, np.floating)):
        return FloatText(float_text(value, field))
    if isinstance(value, datetime):
        return TimeText(time_text(value, field))
    if isinstance(value, Mapping):
        return ObjectText(dump_value(value, field))
    if isinstance(value, np.ndarray):
        value = listed(value, field)
    if isinstance(value, (list, tuple)):
        return ListText(dump_value(value, field))
    raise InvalidArgument(
        f"{field} must be text, a number, a bool, None, a datetime, a list or a dict, got {shown(value)}"
        f"{date_hint(value)}",
        field=field,
    )


def value_of(text: str) -> Any:
    """The Python value of a text form that was checked. Raises ValueError when it is not of its type."""
    return _READERS[text.tag](text) if isinstance(text, TypedText) else text


def values_with_tags(texts: Mapping[str, str], tags: str) -> dict[str, Any]:
    """The Python values of these text forms, given a tag for each by ascending key; none when all are texts. A text
    with a tag of a later version stays a text. Raises ValueError for a text that is not of its type."""
    values: dict[str, Any] = dict(texts)
    if tags:
        _read(values, sorted(values), tags)
    return values


def values_in_wire(data: bytes | memoryview) -> dict[str, Any]:
    """The Python values of metadata in wire form (pykyro.model.metadata_wire). Raises ValueError."""
    values: dict[str, Any]
    values, tags = decode_texts(data)
    if tags:
        _read(values, values, tags)
    return values


def _read(values: dict[str, Any], keys: Iterable[str], tags: str) -> None:
    """Put the values in the places of the texts under these keys, which go with the tags."""
    readers = _READERS
    for key, tag in zip(keys, tags, strict=True):
        if tag != TEXT and tag in readers:
            values[key] = readers[tag](values[key])


def check_values(metadata: Mapping[str, str]) -> None:
    """Refuse text forms that are not of their type, or lists and dicts with too much in them. Raises InvalidArgument
    naming the key."""
    if not is_typed(metadata):
        return
    parts = 0
    for key, text in metadata.items():
        value = checked_value(text, f"metadata.{key[:200]}")
        if isinstance(value, (list, dict)):
            parts += parts_of(key, value)
    if parts > VALUE_ELEMENTS_MAX:
        raise InvalidArgument(
            f"metadata has {parts} elements of lists and entries of dicts in all levels; the maximum is "
            f"{VALUE_ELEMENTS_MAX}",
            field="metadata",
        )


def count_parts(metadata: Mapping[str, str]) -> int:
    """How many elements and entries the lists and dicts in stored metadata have, in all levels."""
    return sum(
        parts_of(None, value_of(text))
        for text in metadata.values()
        if isinstance(text, ListText | ObjectText)
    )


def checked_value(text: str, field: str) -> Any:
    """The Python value of a text form that anybody may have sent. Raises InvalidArgument."""
    tag = tag_of(text)
    try:
        value = _CHECKED_READERS[tag](text)
        if tag == "i":
            require_integer(value, field)
        if tag in "lo" and not isinstance(value, list if tag == "l" else dict):
            raise ValueError(f"it stands for {shown(value)}")
    except (ValueError, KeyError) as error:
        raise InvalidArgument(
            f"{field} is no {NAMES[tag]}: {shown_error(error)}, got {text[:60]!r}", field=field
        ) from None
    return value


def check_operand_integer(text: str, field: str) -> None:
    """Refuse what is no integer of a filter, which may have more than 64 bits. Raises InvalidArgument."""
    try:
        if len(text) > OPERAND_INTEGER_DIGITS_MAX:
            raise ValueError(f"more than {OPERAND_INTEGER_DIGITS_MAX} digits")
        parse_integer(text)
    except ValueError as error:
        raise InvalidArgument(f"{field} is no {NAMES['i']}: {shown_error(error)}", field=field) from None
