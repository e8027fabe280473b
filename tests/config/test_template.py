"""The generated file: complete, explained, and exactly the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.config import KEYS, Settings, generate_template, load_settings, value_of
from pykyro.model.errors import ConfigError

FORMATS = ("yaml", "toml")


@pytest.mark.parametrize("format", FORMATS)
def test_generated_file_loads_back_to_the_defaults(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"c.{format}"
    path.write_text(generate_template(format))
    assert load_settings(path, {}).settings == Settings()


@pytest.mark.parametrize("format", FORMATS)
def test_generated_file_states_every_key_with_its_help_and_bound(format: str) -> None:
    text = generate_template(format)
    prose = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for key in KEYS.values():
        assert f" {key.help} " in prose, key.name
        if key.kind is not bool:
            assert key.bound[1:] in prose, key.name
    words = sorted(key.name.rpartition(".")[2] for key in KEYS.values())
    mark = ":" if format == "yaml" else " ="
    stated = [
        line.strip().removeprefix("#") for line in text.splitlines() if not line.strip().startswith("# ")
    ]
    found = sorted(line.partition(mark)[0] for line in stated if mark in line and not line.endswith(":"))
    assert found == words


def test_yaml_states_absent_keys_as_null() -> None:
    assert "  http_port: null\n" in generate_template("yaml")


def test_toml_examples_of_absent_keys_can_be_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    lines = generate_template("toml").splitlines()
    path.write_text(
        "\n".join(line[1:] if line.startswith("#") and line[1:2] != " " else line for line in lines)
    )
    settings = load_settings(path, {}).settings
    for key in KEYS.values():
        expected = key.default if key.example is None else key.example
        assert value_of(settings, key.name) == (Path(str(expected)) if key.kind is Path else expected)


@pytest.mark.parametrize("format", ["YAML", "yml", "Yml"])
def test_format_is_case_insensitive(format: str) -> None:
    assert generate_template(format) == generate_template("yaml")


@pytest.mark.parametrize("format", ["json", "", "yaml "])
def test_unknown_format_is_refused(format: str) -> None:
    with pytest.raises(ConfigError) as caught:
        generate_template(format)
    assert str(caught.value) == f"Invalid format '{format}'. Use 'yaml' or 'toml'."
