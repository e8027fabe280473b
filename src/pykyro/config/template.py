"""A configuration file of every key at its default, each with its help, unit and bound beside it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Final

from pykyro.config.keys import KEYS, SECTIONS, Key, Value
from pykyro.model.errors import ConfigError

_WIDTH: Final = 96
_HEADER: Final = (
    "KyroDB configuration: every key at its default. A key that is left out keeps its default.",
    "The command line wins over the environment (KYRODB__SECTION__KEY), which wins over this file.",
)


def generate_template(format: str) -> str:
    """The file as text. `format` is yaml, yml or toml in any case; else ConfigError."""
    match format.lower():
        case "yaml" | "yml":
            return "\n".join(_yaml()) + "\n"
        case "toml":
            return "\n".join(_toml()) + "\n"
    raise ConfigError(f"Invalid format '{format}'. Use 'yaml' or 'toml'.")


def literal(value: Value) -> str:
    """A value as YAML and TOML both write it; null is YAML's alone."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value))


def remarks(key: Key) -> Iterator[str]:
    """The comment of a key: its help, then its bound, its unit and how a new value is applied."""
    yield key.help
    facts = [] if key.kind is bool else [key.bound]
    if key.unit:
        facts.append(f"unit: {key.unit}")
    if key.reloads:
        facts.append("SIGHUP applies a new value")
    if key.compatibility_only:
        facts.append("accepted for compatibility, no effect")
    if key.without_effect:
        facts.append(f"{', '.join(key.without_effect)}: accepted for compatibility, no effect")
    if facts:
        sentence = "; ".join(facts)
        yield f"{sentence[0].upper()}{sentence[1:]}."


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _yaml() -> Iterator[str]:
    for line in _HEADER:
        yield f"# {line}"
    for section, about in SECTIONS.items():
        indent = "  " * section.count(".")
        yield ""
        yield from _comment(about, indent)
        yield f"{indent}{section.rpartition('.')[2]}:"
        for key in _keys_of(section):
            for remark in remarks(key):
                yield from _comment(remark, f"{indent}  ")
            yield f"{indent}  {_word(key)}: {literal(key.default)}"


def _toml() -> Iterator[str]:
    for line in (*_HEADER, "A key behind a # without a space is unset; its value there is an example."):
        yield f"# {line}"
    for section, about in SECTIONS.items():
        yield ""
        yield from _comment(about, "")
        yield f"[{section}]"
        for key in _keys_of(section):
            for remark in remarks(key):
                yield from _comment(remark, "")
            if key.default is None:
                yield f"#{_word(key)} = {literal(key.example)}"
            else:
                yield f"{_word(key)} = {literal(key.default)}"


def _keys_of(section: str) -> Iterator[Key]:
    return (key for key in KEYS.values() if key.section == section)


def _word(key: Key) -> str:
    return key.name.rpartition(".")[2]
