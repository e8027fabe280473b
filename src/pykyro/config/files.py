"""Reads a configuration file: YAML, TOML or JSON by its extension.

YAML is version 1.2, core schema, one document, no key twice. Under the rules of version 1.1, which PyYAML follows by
default, `query_cache_mode: off` is false and `data_dir: 2025-01-01` is a date. Only plain mappings, lists and scalars
are built, so no tag can name a Python object.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Final

import yaml

from pykyro.model import limits
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
            values, lines = parse_yaml(text)
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


_TAG: Final = "tag:yaml.org,2002:"


class YamlError(ValueError):
    """The text is not YAML a configuration can be written in; the message ends with the line where known."""


class _CoreSchemaLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - declared by the base class


for _name, _pattern, _first in (
    ("null", r"|~|null|Null|NULL", ["", "~", "n", "N"]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _CoreSchemaLoader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def parse_yaml(text: str) -> tuple[object, dict[str, int]]:
    """The document, and the line (from 1) of each key by full dotted name.

    An empty document is an empty mapping. Raises YamlError.
    """
    lines: dict[str, int] = {}
    try:
        node = yaml.compose(text, Loader=_CoreSchemaLoader)
        return ({} if node is None else _built(node, "", 0, lines)), lines
    except yaml.MarkedYAMLError as error:
        raise YamlError(_sentence(error)) from error
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("nested too deeply") from error


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{problem}{_at(error.problem_mark)}"


def _at(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"


def _built(node: yaml.Node, name: str, depth: int, lines: dict[str, int]) -> object:
    if depth > limits.CONFIG_DEPTH_MAX:
        raise YamlError(f"nested deeper than {limits.CONFIG_DEPTH_MAX} levels{_at(node.start_mark)}")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [_built(item, name, depth + 1, lines) for item in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        return _mapping(node, name, depth, lines)
    raise YamlError(f"unknown tag {node.tag}{_at(node.start_mark)}")


def _mapping(node: yaml.MappingNode, name: str, depth: int, lines: dict[str, int]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError(f"a key must be a word{_at(key.start_mark)}")
        full_name = f"{name}.{key.value}" if name else key.value
        if key.value in values:
            raise YamlError(f"key '{full_name}' is given twice, again{_at(key.start_mark)}")
        lines[full_name] = key.start_mark.line + 1
        values[key.value] = _built(value, full_name, depth + 1, lines)
    return values


def _scalar(node: yaml.ScalarNode) -> object:
    text = node.value
    try:
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0 if text[:2] in ("0o", "0x") else 10)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError as error:
        raise YamlError(f"{error}{_at(node.start_mark)}") from error
    raise YamlError(f"unknown tag {node.tag}{_at(node.start_mark)}")
