"""From values to settings, at the start and at a reload.

Every fault is reported at once, each with its key, value, source and bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pykyro.config.keys import KEYS, Value, changed_keys, value_of
from pykyro.config.layer import GivenValue, shown
from pykyro.config.settings.guardrails import GUARDRAILS
from pykyro.config.settings.model import Settings
from pykyro.config.settings.rules import RULES
from pykyro.model.errors import ConfigError


def validated(entries: Mapping[str, GivenValue], faults: Iterable[str] = ()) -> Settings:
    """Settings from values by full name, defaults for the rest.

    `faults` were found before; ConfigError carries them and all that are found here. A key that is faulty
    by itself has its default while the rules are checked, and rules about it are left out, so that one mistake is
    reported once.
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


def _nested(entries: Mapping[str, GivenValue]) -> dict[str, Any]:
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


Model = TypeVar("Model", bound=BaseModel)


def reloaded(before: Settings, wanted: Settings) -> Settings:
    """`before`, with the keys that can change without a restart as in `wanted`.

    Both stand by themselves; together they may not, as when a file is no longer named that only a restart stops
    asking for. Raises ConfigError then.
    """
    settings = before
    for key in changed_keys(before, wanted):
        if key.reloads:
            settings = _with(settings, key.name.split("."), value_of(wanted, key.name))
    broken = (rule.fault(settings) for rule in (*RULES, *GUARDRAILS))
    faults = [f"{fault} (a restart applies the other changes)" for fault in broken if fault is not None]
    if faults:
        raise ConfigError(*faults)
    return settings


def _with(model: Model, path: list[str], value: Value) -> Model:
    name, *rest = path
    changed = _with(getattr(model, name), rest, value) if rest else value
    return model.model_copy(update={name: changed})
