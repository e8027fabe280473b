"""What the server has acknowledged, as recipes: a document of a megabyte is a few numbers here.

A call that ended without an answer is in doubt: the document may be as before or as the call wanted it, until a read
shows which. Merges of one document may run side by side, each with a key of its own.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

DIMENSION: Final = 16
_TEXT: Final = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz ", k=1 << 21))
_OFFSETS: Final = 1 << 20

Key: TypeAlias = tuple[str, int]
"""A tenant, and the document's number there."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A document that can be made again: so many keys, whose values are so many bytes together."""

    serial: int
    keys: int
    text_bytes: int
    own_keys: bool = False
    """Whether no other document has its keys."""

    def vector(self) -> list[float]:
        """Whole numbers, which float32 holds exactly."""
        return [float((self.serial * (at + 3) + at * at) % 251) for at in range(DIMENSION)]

    def metadata(self) -> dict[str, str]:
        each = self.text_bytes // max(1, self.keys)
        prefix = f"k{self.serial}." if self.own_keys else "k"
        return {f"{prefix}{at}": text(self.serial * 31 + at, each) for at in range(self.keys)}


def text(number: int, size: int) -> str:
    """A text of so many letters, another one for each number."""
    begins = number * 7919 % _OFFSETS
    return (f"{number}-" + _TEXT[begins : begins + size])[:size]


@dataclass(slots=True)
class State:
    """One thing that a document may be; merged keys may each have one of several values, None for none."""

    base: Recipe | None
    merged: dict[str, set[str | None]] = field(default_factory=dict)

    def matches(self, metadata: Mapping[str, str] | None) -> bool:
        """Whether a read that gave this metadata, None for no document, may have seen this."""
        if self.base is None or metadata is None:
            return self.base is None and metadata is None
        wanted = self.base.metadata()
        rest = {name: value for name, value in metadata.items() if name not in self.merged}
        if rest != {name: value for name, value in wanted.items() if name not in self.merged}:
            return False
        return all(metadata.get(name) in values for name, values in self.merged.items())


class Documents:
    """All documents by tenant and number. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[Key, list[State]] = {}

    def keys(self) -> list[Key]:
        """Of every document that was ever written, sorted."""
        with self._lock:
            return sorted(self._states)

    def present(self, tenant: str) -> list[int]:
        """Numbers of the documents that must be there."""
        with self._lock:
            return sorted(
                number
                for (whose, number), states in self._states.items()
                if whose == tenant and all(state.base is not None for state in states)
            )

    def put(self, key: Key, recipe: Recipe | None, *, sure: bool) -> None:
        """Stored, or deleted with None. Not `sure`: or left as it was."""
        with self._lock:
            before = [] if sure else self._states.get(key, [State(None)])
            self._states[key] = [*before, State(recipe)]

    def merge(self, key: Key, name: str, value: str, *, sure: bool) -> None:
        """One key laid over whatever the document is; an absent one stays so."""
        with self._lock:
            for state in self._states.get(key, []):
                if state.base is None:
                    continue
                before = state.merged.get(name) or {state.base.metadata().get(name)}
                state.merged[name] = {value} if sure else {*before, value}

    def wrong(self, key: Key, metadata: Mapping[str, str] | None) -> str:
        """What is wrong with what a read found, "" when it may be; from then on the document is that."""
        with self._lock:
            states = self._states.get(key, [State(None)])
            fitting = [state for state in states if state.matches(metadata)]
            if fitting:
                self._states[key] = [_settled(fitting[0], metadata)]
                return ""
        shown = "absent" if metadata is None else f"one with {len(metadata)} keys, {_digest(metadata)}"
        return f"document {key[1]} of {key[0]} is {shown}; it may be {_shown(states)}"


def _settled(state: State, metadata: Mapping[str, str] | None) -> State:
    if metadata is None:
        return State(None)
    return State(state.base, {name: {metadata.get(name)} for name in state.merged})


def _digest(metadata: Mapping[str, str]) -> str:
    whole = "\0".join(f"{name}\0{value}" for name, value in sorted(metadata.items()))
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _shown(states: Iterable[State]) -> str:
    return " or ".join(
        "absent" if state.base is None else f"{state.base} with {len(state.merged)} keys merged"
        for state in states
    )
