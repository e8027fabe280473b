"""Configuration: one frozen `Settings`, loaded from a file, the environment and the command line.

Reads top down: `declare` (how a key is declared), `serving`, `caching`, `storing`, `observing` (the keys),
`model` (all of them), `keys` (the table read from them), `rules` and `guardrails` (what keys demand of each
other), `files`, `layer`, `validate`, `load` (from text to settings), `template` and `document` (to text).
"""

from pykyro.config.keys import KEYS, Key, changed_keys, value_of
from pykyro.config.load import Loaded, Overrides, load_settings
from pykyro.config.reloading import reloaded
from pykyro.config.settings.guardrails import SAMPLE_KEY
from pykyro.config.settings.loopback import is_loopback
from pykyro.config.settings.model import Settings
from pykyro.config.template import generate_template

__all__ = [
    "KEYS",
    "SAMPLE_KEY",
    "Key",
    "Loaded",
    "Overrides",
    "Settings",
    "changed_keys",
    "generate_template",
    "is_loopback",
    "load_settings",
    "reloaded",
    "value_of",
]
