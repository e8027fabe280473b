"""The key file as text: a stream of YAML events, of which only scalars in the entries matter.

Reading events instead of a tree keeps ten thousand tenants from costing tens of megabytes, and lets each field be
read as what it is meant to be (a tenant called `no` is no boolean).

No message quotes the text: it may hold keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from pykyro.model.errors import ConfigError

LIST_KEY: Final = "api_keys"


_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value, and whether it is written without quotes."""

    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One mapping of the list, by field; nested values are left out. `number` and `line` count from 1."""

    number: int
    line: int
    fields: dict[str, Scalar]

    @property
    def place(self) -> str:
        """How a message names the entry."""
        return f"{LIST_KEY}[{self.number}] (line {self.line})"


def entries(text: str) -> Iterator[KeyEntry]:
    """The entries of the list `api_keys`, in order.

    Raises ConfigError when the text is not one YAML mapping that holds such a list.
    """
    events = yaml.parse(text, Loader=_LOADER)
    try:
        yield from _document(events)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"not valid YAML{place}") from None
    except yaml.YAMLError:
        raise ConfigError("not valid YAML: it holds a character that YAML does not allow") from None


def _document(events: Iterator[yaml.Event]) -> Iterator[KeyEntry]:
    found = False
    next(events)  # the start of the stream
    event = next(events)
    if isinstance(event, yaml.DocumentStartEvent):
        event = next(events)
        if not isinstance(event, yaml.MappingStartEvent):
            raise ConfigError(f"must be a mapping with the list '{LIST_KEY}'")
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if isinstance(event, yaml.ScalarEvent) and event.value == LIST_KEY:
                if found:
                    raise ConfigError(f"'{LIST_KEY}' is given twice, again at line {_line(event)}")
                found = True
                yield from _list(events)
            else:
                _skip(events, event)
                _skip(events, next(events))
        next(events)  # the end of the document
        if not isinstance(event := next(events), yaml.StreamEndEvent):
            raise ConfigError(f"holds a second document, which starts at line {_line(event)}")
    if not found:
        raise ConfigError(f"has no list '{LIST_KEY}'")


def _list(events: Iterator[yaml.Event]) -> Iterator[KeyEntry]:
    event = next(events)
    if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value in _NULLS:
        return
    if not isinstance(event, yaml.SequenceStartEvent):
        raise ConfigError(f"'{LIST_KEY}' must be a list, at line {_line(event)}")
    number = 0
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        number += 1
        if not isinstance(event, yaml.MappingStartEvent):
            raise ConfigError(f"{LIST_KEY}[{number}] (line {_line(event)}) must be a mapping")
        yield _entry(events, event, number)


def _entry(events: Iterator[yaml.Event], start: yaml.MappingStartEvent, number: int) -> KeyEntry:
    fields: dict[str, Scalar] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise ConfigError(f"{LIST_KEY}[{number}] (line {_line(event)}): a field's name must be a word")
        value = next(events)
        if event.value in fields:
            raise ConfigError(f"{LIST_KEY}[{number}] (line {_line(event)}): a field is given twice")
        if isinstance(value, yaml.ScalarEvent):
            fields[event.value] = Scalar(value.value, not value.style)
        elif isinstance(value, yaml.AliasEvent):
            raise ConfigError(f"{LIST_KEY}[{number}] (line {_line(value)}): aliases are not supported")
        else:
            _skip(events, value)
    return KeyEntry(number, _line(start), fields)


def _skip(events: Iterator[yaml.Event], event: yaml.Event) -> None:
    """Pass over the node that `event` starts."""
    depth = 0
    while True:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if not depth:
            return
        event = next(events)


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return event.start_mark.line + 1
