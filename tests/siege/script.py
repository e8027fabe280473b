"""A script: the steps of one siege, as data. It is what a seed makes, what shrinks, and what is kept as a test.

A step names what to do and has its numbers. They are all there is: the same script does the same calls again, though
threads and the machine take them in an order of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

Given: TypeAlias = "dict[str, int | str]"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a name of tests/siege/lawful.py or tests/siege/hostile.py, and its arguments.

    With `beside` among them the next step does not wait for its end.
    """

    do: str
    given: Given

    @property
    def beside(self) -> bool:
        return bool(self.given.get("beside"))

    @property
    def arguments(self) -> Given:
        """What the function takes."""
        return {name: value for name, value in self.given.items() if name != "beside"}

    def __str__(self) -> str:
        return f"{self.do}({', '.join(f'{name}={value}' for name, value in self.given.items())})"


def step(do: str, **given: int | str) -> Step:
    return Step(do, given)


@dataclass(frozen=True, slots=True)
class Script:
    """Steps in their order, against a server with this budget."""

    steps: tuple[Step, ...]
    limit_mib: int = 768
    found: str = ""
    """What it once found, for the reader of a kept script."""

    def with_steps(self, steps: tuple[Step, ...]) -> Script:
        return replace(self, steps=steps)

    def to_json(self) -> str:
        document = {
            "found": self.found,
            "limit_mib": self.limit_mib,
            "steps": [{"do": one.do, **one.given} for one in self.steps],
        }
        return json.dumps(document, indent=1) + "\n"

    def __str__(self) -> str:
        return "\n".join([f"memory.limit = {self.limit_mib} MiB", *map(str, self.steps)])


def from_json(text: str) -> Script:
    """Raises KeyError or ValueError when it is no script."""
    document: dict[str, Any] = json.loads(text)
    steps = tuple(
        Step(one["do"], {name: value for name, value in one.items() if name != "do"})
        for one in document["steps"]
    )
    return Script(steps, int(document["limit_mib"]), str(document.get("found", "")))


def read_script(path: Path) -> Script:
    return from_json(path.read_text())
