"""Every setting that is accepted does something, or is announced as without effect.

Who reads a setting is found out by watching a real server: it notes each key that code outside the configuration
asked for between its start and its end. What is asked for only when something happens (damage, enough queries) is
looked for in the source, by a name that no other key has.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from tests.client.certificates import make_certificates
from tests.server.running import start_server
from tests.tenancy.keys import entry, write_keys

import pykyro
from pykyro.config import KEYS, Overrides, load_settings
from pykyro.config.document import reference
from pykyro.config.keys import Key
from pykyro.config.settings.declare import Section
from pykyro.config.settings.model import Settings
from pykyro.engine.options import CacheOptions, EngineOptions, RecallOptions, TierBudgets
from pykyro.index.vector.graph_build import GraphParameters
from pykyro.storage.wal.log import LogOptions

HOME = Path(pykyro.__file__).parent
DECIDES_RULES = "environment.type"
"""The one key whose whole effect is in the configuration itself: which rules hold."""

RECORDER = """
import json, os, sys
from pykyro import config
from pykyro.config.settings.declare import Section

asked = set()
home = os.path.dirname(config.__file__) + os.sep
package = os.path.dirname(os.path.dirname(home))
declared = os.path.join(home, "settings", "")
echo = os.path.join(package, "transport", "grpc", "admin.py")  # GetConfig tells what is set

def noted(self, name):
    frame = sys._getframe(1)
    # Of a property of the settings: who asked for that?
    while frame.f_code.co_filename.startswith(declared) or frame.f_code is noted.__code__:
        frame = frame.f_back
    path = frame.f_code.co_filename
    if path.startswith(package) and not path.startswith(home) and path != echo:
        asked.add((type(self).__name__, name))
    return object.__getattribute__(self, name)

Section.__getattribute__ = noted
from pykyro.cli.kyrodb_server import main

code = main([])
with open(sys.argv[1], "w") as file:
    json.dump(sorted(asked), file)
sys.exit(code)
"""


def _sections(model: type[Section] = Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield field.annotation.__name__, prefix + name
            yield from _sections(field.annotation, f"{prefix}{name}.")


def _attributes_read(*paths: Path) -> set[str]:
    return {
        node.attr
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def _read_in_the_source() -> set[str]:
    """Keys that code outside the configuration asks for by their own word, or by a property that stands for it."""
    echo = HOME / "transport" / "grpc" / "admin.py"
    outside = [path for path in HOME.rglob("*.py") if HOME / "config" not in path.parents and path != echo]
    read, words = _attributes_read(*outside), Counter(name.rpartition(".")[2] for name in KEYS)
    standing_for = {
        attribute
        for path in (HOME / "config").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name in read
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self"
        for attribute in (part.attr,)
    }
    return {
        name
        for name in KEYS
        for word in (name.rpartition(".")[2],)
        if words[word] == 1 and word in read | standing_for
    }


def _choices_without_effect(key: Key) -> bool:
    """Whether no word but the default could have an effect, and each says so."""
    return bool(key.choices) and set(key.choices) - {str(key.default)} == set(key.without_effect)


def _another(key: Key) -> object:
    """A value other than the default, which generated files hold and which is not worth a word."""
    if key.choices:
        return next(choice for choice in key.choices if choice != key.default)
    if isinstance(key.default, bool):
        return not key.default
    assert isinstance(key.default, int | float)
    return key.default / 2 if isinstance(key.default, float) else key.default + 1


def test_every_setting_is_read_by_the_server_or_announced(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    settings: dict[str, object] = {
        "server__tls__enabled": "true",
        "server__tls__cert_path": certificates.server,
        "server__tls__key_path": certificates.server_key,
        "server__tls__ca_cert_path": certificates.ca,
        "server__observability_auth": "metrics_and_slo",
        "auth__enabled": "true",
        "auth__api_keys_file": write_keys(tmp_path / "keys.yaml", entry()),
        "rate_limit__enabled": "true",
        "tracing__enabled": "true",
        "tracing__endpoint": "http://127.0.0.1:9",
        "logging__file": tmp_path / "kyrodb.log",
        "backup__interval_secs": 3600,
        "backup__dir": tmp_path / "backups",
        "backup__retention__keep_daily": 7,
        "persistence__recovery_mode": "best_effort",
        "persistence__snapshot_interval_mutations": 0,
    }
    (tmp_path / "backups").mkdir()
    found = tmp_path / "asked.json"
    server = start_server(tmp_path, settings, wrapper=(sys.executable, "-c", RECORDER, str(found)))
    try:
        server.wait_ready()
        assert server.http("/slo").status_code == 401
        assert server.http("/health").status_code == 200
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    sections = dict(_sections())
    asked = {f"{sections[kind]}.{name}" for kind, name in json.loads(found.read_text()) if kind in sections}
    unread = KEYS.keys() - asked - _read_in_the_source() - {DECIDES_RULES}
    announced = {key.name for key in KEYS.values() if key.compatibility_only or _choices_without_effect(key)}
    assert unread == announced
    log = (tmp_path / "kyrodb.log").read_text()
    assert log.count("persistence.recovery_mode = best_effort") == 1


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (key, word)
        for key in KEYS.values()
        for word in (*key.without_effect, *((_another(key),) if key.compatibility_only else ()))
    ],
    ids=lambda value: value.name if isinstance(value, Key) else str(value),
)
def test_what_has_no_effect_is_announced_once_and_documented(key: Key, word: object) -> None:
    environment = {
        f"KYRODB__{key.name.upper().replace('.', '__')}": str(word),
        "KYRODB__ENVIRONMENT__TYPE": "benchmark",
    }
    loaded = load_settings(None, environment, Overrides())
    assert [warning for warning in loaded.warnings if "has no effect" in warning and key.name in warning]
    assert loaded.compatibility_keys == (key.name,)
    (row,) = (line for line in reference().splitlines() if line.startswith(f"| `{key.name}` |"))
    assert "no effect" in row


def test_what_has_an_effect_is_not_announced() -> None:
    environment = {"KYRODB__PERSISTENCE__RECOVERY_MODE": "strict"}
    loaded = load_settings(None, environment, Overrides())
    assert (loaded.warnings, loaded.compatibility_keys) == ((), ())


@pytest.mark.parametrize(("policy", "announced"), [("full", True), ("none", True), ("data_only", False)])
def test_an_interval_between_syncs_that_the_policy_leaves_no_use_is_announced(
    policy: str, announced: bool
) -> None:
    environment = {
        "KYRODB__PERSISTENCE__WAL_FLUSH_INTERVAL_MS": "100",
        "KYRODB__PERSISTENCE__FSYNC_POLICY": policy,
        "KYRODB__ENVIRONMENT__TYPE": "benchmark",
    }
    warnings = load_settings(None, environment, Overrides()).warnings
    assert any("wal_flush_interval_ms = 100 has no effect" in warning for warning in warnings) == announced


@pytest.mark.parametrize(
    "options",
    [
        EngineOptions,
        CacheOptions,
        RecallOptions,
        TierBudgets,
        LogOptions,
        GraphParameters,
    ],
)
def test_every_option_of_the_engine_is_read_below_the_server(options: type) -> None:
    """Settings go into options first, so an option nobody reads would be a setting without effect."""
    read = _attributes_read(
        *(path for name in ("engine", "cache", "index", "storage") for path in (HOME / name).rglob("*.py"))
    )
    assert {field.name for field in fields(options)} <= read
