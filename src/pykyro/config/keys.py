"""The table of keys, read from the model: what every other view of the configuration is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from pykyro.config.settings.declare import Section, Wanted
from pykyro.config.settings.model import Settings

Value: TypeAlias = str | int | float | bool | Path | None


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `minimum` and `maximum` belong to the range, `above` does not."""

    name: str
    """With its section: "server.tls.enabled"."""
    kind: type
    """bool, int, float, str or Path; a key with `choices` is a str."""
    default: Value
    help: str
    unit: str
    optional: bool
    choices: tuple[str, ...]
    minimum: float | None
    above: float | None
    maximum: float | None
    wanted: str
    example: Value
    former_name: str
    """Old full name that still works, "" when there is none."""
    reloads: bool
    compatibility_only: bool
    without_effect: tuple[str, ...]
    """Words that are accepted for compatibility alone."""

    def has_effect(self, value: Value) -> bool:
        """Whether setting the key to this value can change anything."""
        return not self.compatibility_only and value not in self.without_effect

    @property
    def section(self) -> str:
        """Name of the section of the key."""
        return self.name.rpartition(".")[0]

    @property
    def bound(self) -> str:
        """The condition on a value, in words."""
        return self._bound_without_null() + (", or null" if self.optional else "")

    def _bound_without_null(self) -> str:
        if self.wanted:
            return self.wanted
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        if self.kind not in (int, float):
            return "text"
        noun = "an integer" if self.kind is int else "a number"
        limits = [
            (self.minimum, "at least"),
            (self.above, "above"),
            (self.maximum, "at most"),
        ]
        if self.minimum is not None and self.maximum is not None:
            return f"{noun} from {_figure(self.minimum)} to {_figure(self.maximum)}"
        return " ".join([noun, " and ".join(f"{word} {_figure(n)}" for n, word in limits if n is not None)])


def _figure(number: float) -> str:
    for exponent in (31, 64):
        if number == 2**exponent - 1:
            return f"2^{exponent} - 1"
    return str(number)


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """The plain type inside Annotated and Optional, the metadata on the way, and whether null is allowed."""
    metadata: tuple[Any, ...] = ()
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            metadata += annotation.__metadata__
            annotation = annotation.__origin__
        elif get_origin(annotation) in (Union, UnionType):
            optional = True
            (annotation,) = (part for part in get_args(annotation) if part is not type(None))
        else:
            return annotation, metadata, optional


def _key(section: str, name: str, field: FieldInfo) -> Key:
    kind, metadata, optional = _unwrapped(field.annotation)
    metadata = (*field.metadata, *metadata)
    extra = cast(dict[str, Any], field.json_schema_extra)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Key(
        name=section + name,
        kind=str if choices else kind,
        default=field.default,
        help=field.description or "",
        unit=extra["unit"],
        optional=optional,
        choices=choices,
        minimum=next((mark.ge for mark in metadata if isinstance(mark, Ge)), None),  # type: ignore[arg-type]
        above=next((mark.gt for mark in metadata if isinstance(mark, Gt)), None),  # type: ignore[arg-type]
        maximum=next((mark.le for mark in metadata if isinstance(mark, Le)), None),  # type: ignore[arg-type]
        wanted=next((mark.words for mark in metadata if isinstance(mark, Wanted)), ""),
        example=extra["example"],
        former_name=section + extra["former_name"] if extra["former_name"] else "",
        reloads=extra["reloads"],
        compatibility_only=extra["compatibility_only"],
        without_effect=tuple(extra["without_effect"]),
    )


def _walk(model: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section] | Key]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield prefix + name, field.annotation
            yield from _walk(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, _key(prefix, name, field)


_TREE: Final = dict(_walk(Settings))
KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {name: entry for name, entry in _TREE.items() if isinstance(entry, Key)}
)
"""Every key by full name, in the order of declaration."""
SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {name: entry.__doc__ or "" for name, entry in _TREE.items() if not isinstance(entry, Key)}
)
"""Every section by full name, with its description."""
FORMER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {key.former_name: key.name for key in KEYS.values() if key.former_name}
)
"""Old full names that still work, and the key each one stands for."""


def value_of(settings: Settings, name: str) -> Value:
    """The value `settings` has for the key of this full name."""
    return cast(Value, reduce(getattr, name.split("."), settings))


def changed_keys(before: Settings, after: Settings) -> tuple[Key, ...]:
    """The keys whose values differ; after a reload, those with `reloads` unset need a restart."""
    return tuple(key for name, key in KEYS.items() if value_of(before, name) != value_of(after, name))
