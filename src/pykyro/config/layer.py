"""One source of values (a file, the environment, the command line): full names, checked to exist."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from pykyro.config.keys import FORMER_NAMES, KEYS, SECTIONS

_SHOWN_MAX: Final = 120
_BRIEF: Final = reprlib.Repr()
_BRIEF.maxlevel = 2
_BRIEF.maxstring = _BRIEF.maxother = 80


def shown(value: object) -> str:
    """A value for a message: short whatever it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = _BRIEF.repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


@dataclass(frozen=True, slots=True)
class GivenValue:
    """A value, the name it was given under, and where."""

    value: object
    spelled: str
    source: str


@dataclass(slots=True)
class Layer:
    """The values of one source by full name, and the faults in the names it uses."""

    entries: dict[str, GivenValue] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def put(self, spelled: str, value: object, source: str) -> None:
        """Take a value for a key; a name that no key has, or a second value, becomes a fault."""
        name = FORMER_NAMES.get(spelled, spelled)
        if name in SECTIONS:
            self.faults.append(f"{name} = {shown(value)} ({source}): is a section and must hold keys")
        elif name not in KEYS:
            self.faults.append(f"unknown key {shown(spelled)} ({source}){_suggestion(spelled)}")
        elif name in self.entries:
            self.faults.append(self._twice(name, spelled, source))
        else:
            self.entries[name] = GivenValue(value, spelled, source)

    def put_tree(self, tree: Mapping[str, object], source: Callable[[str], str], section: str = "") -> None:
        """Take nested sections. `source` says where a full name stands. An empty section is no fault."""
        for word, value in tree.items():
            name = section + word
            if "." in word:
                hint = "; nest it under its section" if name in KEYS else _suggestion(name)
                self.faults.append(f"unknown key {shown(word)} ({source(name)}), it has a dot{hint}")
            elif name in SECTIONS and isinstance(value, Mapping):
                self.put_tree(value, source, f"{name}.")
            elif not (name in SECTIONS and value is None):
                self.put(name, value, source(name))

    def _twice(self, name: str, spelled: str, source: str) -> str:
        first = self.entries[name]
        if first.spelled == spelled:
            return f"{name} is given twice: {first.source} and {source}"
        former = next(old for old, new in FORMER_NAMES.items() if new == name)
        return f"{former} is the old name of {name}: set one of them, not both ({first.source}, {source})"


def _suggestion(unknown: str) -> str:
    """The key that was meant, when one is near in spelling or has the same name in another section."""
    section, _, word = unknown.lower().rpartition(".")
    names = (*KEYS, *SECTIONS, *FORMER_NAMES)
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == section}
    near = [siblings[match] for match in get_close_matches(word, siblings, n=1, cutoff=0.7)]
    namesakes = [name for name in KEYS if name.rpartition(".")[2] == word]
    alike = get_close_matches(unknown.lower(), names, n=2, cutoff=0.8)
    found = near or namesakes or [name for name in alike if name != section]
    return f"; did you mean '{found[0]}'?" if found else ""
