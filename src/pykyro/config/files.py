"""Reading a configuration file: YAML, TOML or JSON by its extension."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from pykyro.config import yaml_text
from pykyro.model.errors import ConfigError
from pykyro.model.limits import CONFIG_FILE_BYTES_MAX
from pykyro.system.regular_files import read_regular


def read_file(path: Path) -> tuple[dict[str, object], dict[str, int]]:
    """The mapping in the file, and the line of each full name where the format tells it.

    Raises ConfigError naming the path, and the line where known, when the file is missing, unreadable,
    malformed, of another format or not a mapping.
    """
    extension = path.suffix.lower()
    if extension not in (".yaml", ".yml", ".toml", ".json"):
        raise ConfigError(f"{path}: unknown extension '{extension}', must be .yaml, .yml, .toml or .json")
    try:
        text = read_regular(path, CONFIG_FILE_BYTES_MAX).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: configuration file does not exist") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{str(path)!r}: cannot be read: {reason}") from error
    lines: dict[str, int] = {}
    try:
        if extension == ".toml":
            values: object = tomllib.loads(text)
        elif extension == ".json":
            values = json.loads(text, object_pairs_hook=_no_key_twice)
        else:
            values, lines = yaml_text.parse(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: malformed {extension[1:]}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping of sections, is a {type(values).__name__}")
    return values, lines


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"key {name!r} is given twice")
        values[name] = value
    return values
