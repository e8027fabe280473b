"""A planted defect. See planted.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`where` is "module:Qualified.name"; `old` stands in that function's dedented source exactly once."""

    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Defect:
    """`suspects` are the checks to try first: rigs of planted.py, or unit tests by "module:function"."""

    name: str
    edits: tuple[Edit, ...]
    suspects: tuple[str, ...]


def defect(name: str, where: str, old: str, new: str, *suspects: str) -> Defect:
    return Defect(name, (Edit(where, old, new),), suspects)
