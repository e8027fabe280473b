"""What the repository says about the configuration is what the model says."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
import yaml

from pykyro.config import KEYS, SAMPLE_KEY, load_settings
from pykyro.config.document import documents
from pykyro.config.settings.guardrails import GUARDRAILS
from pykyro.model.errors import ConfigError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/configuration.md"


@pytest.mark.parametrize("path", documents(ROOT), ids=lambda path: path.name)
def test_generated_text_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == documents(ROOT)[path], "run python -m pykyro.config.document"


def test_page_has_one_row_for_every_key() -> None:
    tables = PAGE.read_text("utf-8").split("## All keys")[1]
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \|", tables, flags=re.MULTILINE)
    assert rows == list(KEYS)


def test_mistakes_on_the_page_are_told_in_these_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("server:\n  prot: 1\ncache:\n  capacity: 10\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(Path("config.yaml"), {"KYRODB__HNSW__M": "200"})
    assert f"```text\n{caught.value}\n```" in PAGE.read_text("utf-8")


def test_page_has_a_row_for_every_key_that_a_guardrail_is_about() -> None:
    demands = PAGE.read_text("utf-8").split("| demand |")[1].split("\n\n")[0]
    for rule in GUARDRAILS:
        assert f"`{rule.keys[1]}`" in demands


def test_yaml_examples_of_the_page_load(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert examples
    for example in examples:
        path = tmp_path / "c.yaml"
        path.write_text(example)
        load_settings(path, {})


@pytest.mark.parametrize("name", ["config.pilot.yaml", "config.pilot.toml"])
def test_pilot_file_meets_the_demands_of_pilot_without_a_warning(name: str) -> None:
    loaded = load_settings(ROOT / name, {})
    assert loaded.settings.environment.type == "pilot"
    assert loaded.settings.server.grpc_is_loopback
    assert loaded.settings.server.http_is_loopback
    assert loaded.warnings == ()
    assert loaded.settings == load_settings(ROOT / "config.pilot.yaml", {}).settings


def test_sample_key_is_well_formed_and_the_one_that_is_known_as_sample() -> None:
    (entry,) = yaml.safe_load((ROOT / "config.pilot.api_keys.example.yaml").read_text("utf-8"))["api_keys"]
    assert entry["key"] == SAMPLE_KEY
    prefix, _, secret = SAMPLE_KEY.rpartition("_")
    assert prefix == f"kyro_{entry['tenant_id']}"
    assert "SAMPLE" in secret
    assert len(secret) >= 32
    assert set(secret) <= set(string.ascii_letters + string.digits)
