"""YAML 1.2 core schema, as the reference reads it, and nothing that could build an object."""

from __future__ import annotations

from math import inf, isnan

import pytest

from pykyro.config.files import YamlError, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("true", True), ("False", False), ("off", "off"), ("no", "no"),
        ("yes", "yes"), ("y", "y"), ("12", 12), ("-3", -3), ("+3", 3), ("010", 10), ("0o17", 15), ("0x1F", 31),
        ("1:30", "1:30"), ("1_000", "1_000"), ("2025-01-01", "2025-01-01"), ("0.5", 0.5), (".5", 0.5),
        ("1e-3", 0.001), ("1E3", 1000.0), (".inf", inf), ("-.INF", -inf), ("'12'", "12"), ('"true"', "true"),
        ("!!str 12", "12"), ("!!int '12'", 12), ("=", "="),
    ],
)  # fmt: skip
def test_scalar_is_read_by_the_core_schema(text: str, value: object) -> None:
    values, _ = parse_yaml(f"key: {text}")
    assert values == {"key": value}
    assert type(values["key"]) is type(value)


def test_not_a_number_is_a_number() -> None:
    values, _ = parse_yaml("key: .nan")
    assert isnan(values["key"])  # type: ignore[index]


def test_lines_of_keys_are_told_by_full_name() -> None:
    values, lines = parse_yaml("# first\nserver:\n  port: 1\n\n  tls: {enabled: true}\nhnsw:\n  m: 5\n")
    assert values == {"server": {"port": 1, "tls": {"enabled": True}}, "hnsw": {"m": 5}}
    assert lines == {
        "server": 2, "server.port": 3, "server.tls": 5, "server.tls.enabled": 5, "hnsw": 6, "hnsw.m": 7,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_document_without_content(text: str) -> None:
    values, lines = parse_yaml(text)
    assert (values or {}, lines) == ({}, {})


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: 1\na: 2", "key 'a' is given twice, again at line 2, column 1"),
        ("s:\n  a: 1\n  'a': 2", "key 's.a' is given twice, again at line 3, column 3"),
        ("? [a]\n: 1", "a key must be a word at line 1"),
        (
            "a: !!python/object/apply:os.system ['x']",
            "unknown tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("a: !custom 1", "unknown tag !custom at line 1"),
        ("a: !!timestamp x", "unknown tag tag:yaml.org,2002:timestamp"),
        ("a: !!set {x}", "unknown tag tag:yaml.org,2002:set"),
        ("a: !!int x", "invalid literal for int() with base 10: 'x' at line 1, column 4"),
        ("a: !!float ''", "could not convert string to float: '' at line 1"),
        ("a: 1\n b: 2", "at line 2, column 3"),
        ("a: [1", "at line 1"),
        ("--- 1\n--- 2", "expected a single document"),
        ("a: *b", "undefined alias"),
        ("a: &x [*x]", "nested deeper than 6 levels at line 1"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: \x07", "special characters are not allowed"),
        ("a: " + "9" * 5000, "at line 1"),
    ],
)
def test_text_that_is_refused_says_what_and_where(text: str, fragment: str) -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)
