"""What a reload makes of the settings in force and those that are wanted."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from pykyro.config.keys import Value, changed_keys, value_of
from pykyro.config.settings.guardrails import GUARDRAILS
from pykyro.config.settings.model import Settings
from pykyro.config.settings.rules import RULES
from pykyro.model.errors import ConfigError

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
