"""Models of filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, Field

from pykyro.integrations.qdrant.model_values import Given, PointId

Condition: TypeAlias = Any
"""A condition or a filter, of these models or of those of qdrant_client: checked when it is used."""


class MatchValue(Given):
    """A value is equal to this one."""

    value: bool | int | str


class MatchAny(Given):
    """A value is equal to one of these."""

    any: list[int] | list[str]


class MatchExcept(Given):
    """A value is equal to none of these."""

    except_: list[int] | list[str] = Field(alias="except")


class MatchText(Given):
    """A text has all words of this one in it."""

    text: str


class MatchTextAny(Given):
    """A text has one of the words of this one in it."""

    text_any: str


class Range(Given):
    """A number lies between these."""

    lt: float | None = None
    gt: float | None = None
    gte: float | None = None
    lte: float | None = None


class PayloadField(Given):
    """A key of the payload."""

    key: str


class IsEmptyCondition(Given):
    """There is no value under the key, or null, or an empty list."""

    is_empty: PayloadField


class IsNullCondition(Given):
    """There is a null under the key."""

    is_null: PayloadField


class HasIdCondition(Given):
    """The point has one of these ids."""

    has_id: Sequence[PointId]


_MATCHES: Final = (MatchValue, MatchAny, MatchExcept, MatchText, MatchTextAny)


def _match(value: Any) -> Any:
    for model in _MATCHES if isinstance(value, dict) else ():
        if value.keys() == {field.alias or name for name, field in model.model_fields.items()}:
            return model.model_validate(value)
    return value


def _range(value: Any) -> Any:
    return Range.model_validate(value) if isinstance(value, dict) else value


class FieldCondition(Given):
    """What is under a key: one of these. `match` and `range` may also be of qdrant_client, or dicts."""

    key: str
    match: Annotated[Any, BeforeValidator(_match)] = None
    range: Annotated[Any, BeforeValidator(_range)] = None
    is_empty: bool | None = None
    is_null: bool | None = None
    geo_bounding_box: Any = None
    geo_radius: Any = None
    geo_polygon: Any = None
    values_count: Any = None


class MinShould(Given):
    """At least so many of these hold."""

    conditions: list[Condition]
    min_count: int


class Filter(Given):
    """All of `must`, one of `should`, none of `must_not`."""

    must: list[Condition] | Condition | None = None
    should: list[Condition] | Condition | None = None
    must_not: list[Condition] | Condition | None = None
    min_should: MinShould | None = None
