"""Configuration: one frozen `Settings`, loaded from a file, the environment and the command line.

Read top down: `settings/declare` (how a key is declared), `settings/server`, `cache`, `storage` and `observability`
(the keys), `settings/model` (all of them), `keys` (the table of keys), `settings/rules` and `guardrails` (conditions
between keys), `files`, `layer`, `validate`, `load` (from text to settings), `template` and `document` (to text).
"""

from pykyro.config.keys import KEYS, Key, changed_keys, value_of
from pykyro.config.load import Loaded, Overrides, load_settings
from pykyro.config.settings.guardrails import SAMPLE_KEY
from pykyro.config.settings.model import Settings
from pykyro.config.settings.server import is_loopback
from pykyro.config.template import generate_template
from pykyro.config.validate import reloaded

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
