"""From values to settings: every fault at once, each with its key, value, source and bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from pykyro.config.keys import KEYS
from pykyro.config.layer import Entry, shown
from pykyro.config.settings.guardrails import GUARDRAILS
from pykyro.config.settings.model import Settings
from pykyro.config.settings.rules import RULES
from pykyro.model.errors import ConfigError


def validated(entries: Mapping[str, Entry], faults: Iterable[str] = ()) -> Settings:
    """Settings from values by full name, defaults for the rest.

    `faults` were found before; ConfigError carries them and all that are found here. A key that is faulty
    by itself stands at its default while the rules are checked, and rules about it are left out, so that
    one mistake is told once.
    """
    faulty: dict[str, str] = {}
    try:
        settings = Settings(**_nested(entries))
    except ValidationError as error:
        for name in dict.fromkeys(_name(detail["loc"]) for detail in error.errors(include_url=False)):
            entry = entries[name]
            faulty[name] = f"{name} = {shown(entry.value)} ({entry.source}): must be {KEYS[name].bound}"
        settings = Settings(**_nested({name: entry for name, entry in entries.items() if name not in faulty}))
    broken = (rule.fault(settings) for rule in (*RULES, *GUARDRAILS) if faulty.keys().isdisjoint(rule.keys))
    found = [*faults, *faulty.values(), *(fault for fault in broken if fault is not None)]
    if found:
        raise ConfigError(*found)
    return settings


def _nested(entries: Mapping[str, Entry]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, entry in entries.items():
        *sections, word = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[word] = entry.value
    return tree


def _name(location: tuple[int | str, ...]) -> str:
    """The key an error is about; what follows its name tells how the value was read."""
    name = ""
    for part in location:
        name = f"{name}.{part}" if name else str(part)
        if name in KEYS:
            break
    return name
