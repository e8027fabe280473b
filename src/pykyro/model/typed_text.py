"""Values of metadata as they are kept: a text form, and a tag of one letter that names the type.

Every client reads the text form; a client that knows tags reads the value. In memory a value is a `str` that is its
text form. One that is not text is of a subclass that has the tag, so whoever handles texts handles values, and a map
of them is a Mapping[str, str].

    tag  type      text form
    t    text      the text itself; plain `str`
    i    integer   -12; -2^63 to 2^64 - 1
    f    float     2020, 0.1, 1e+300, -0, inf: whole numbers up to 2^53 have no point
    b    bool      true, false
    n    null      null
    d    time      2020-01-31T12:00:00Z, 2020-01-31T12:00:00.000001Z: UTC
    l    list      compact JSON: see pykyro.model.value_json
    o    object    compact JSON
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

TEXT: Final = "t"


class TypedText(str):
    """The text form of a value that is not text."""

    __slots__ = ()
    tag: ClassVar[str]


class IntText(TypedText):
    """Of an integer."""

    __slots__ = ()
    tag = "i"


class FloatText(TypedText):
    """Of a float, which is not NaN."""

    __slots__ = ()
    tag = "f"


class BoolText(TypedText):
    """Of True or False."""

    __slots__ = ()
    tag = "b"


class NullText(TypedText):
    """Of None."""

    __slots__ = ()
    tag = "n"


class TimeText(TypedText):
    """Of an instant."""

    __slots__ = ()
    tag = "d"


class ListText(TypedText):
    """Of a list."""

    __slots__ = ()
    tag = "l"


class ObjectText(TypedText):
    """Of a dict whose keys are texts."""

    __slots__ = ()
    tag = "o"


CLASSES: Final[Mapping[str, type[str]]] = {
    TEXT: str,
    **{kind.tag: kind for kind in (IntText, FloatText, BoolText, NullText, TimeText, ListText, ObjectText)},
}
"""The class of the values with each tag."""


def tag_of(text: str) -> str:
    """The tag of a value."""
    return text.tag if isinstance(text, TypedText) else TEXT


def is_typed(metadata: Mapping[str, str]) -> bool:
    """Whether any value is not text."""
    return any(isinstance(text, TypedText) for text in metadata.values())


def tags_of(metadata: Mapping[str, str]) -> str:
    """The tags of all values by ascending key; empty when all are texts."""
    return "".join([tag_of(metadata[key]) for key in sorted(metadata)]) if is_typed(metadata) else ""


def with_tags(metadata: Mapping[str, str], tags: Iterable[str]) -> dict[str, str]:
    """The values of these texts, given a tag for each by ascending key. Raises ValueError for a tag there is not, or
    when there are more or fewer tags than texts."""
    typed = dict(metadata)
    for key, tag in zip(sorted(metadata), tags, strict=True):
        if tag != TEXT:
            kind = CLASSES.get(tag)
            if kind is None:
                raise ValueError(f"{tag!r} is no type of a value")
            typed[key] = kind(typed[key])
    return typed
