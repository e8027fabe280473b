"""Where values come from, and which one wins.

Command line, then KYRODB_PORT and KYRODB_DATA_DIR, then KYRODB__SECTION__KEY, then the file, then the
default. Each name is checked in each source, values only where they win.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.config.files import read_file
from pykyro.config.keys import KEYS, value_of
from pykyro.config.layer import GivenValue, Layer
from pykyro.config.settings.model import Settings
from pykyro.config.validate import validated

_PREFIX: Final = "KYRODB__"
_KUBERNETES: Final = (
    "KYRODB_PORT, which Kubernetes sets for a Service named kyrodb; enableServiceLinks: false prevents it"
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """The values of the command line; None leaves the rest to decide."""

    port: int | None = None
    data_dir: Path | None = None
    dimension: int | None = None
    distance: str | None = None
    follow: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the warnings about them that the server logs once."""

    settings: Settings
    path: Path | None
    """The file that was read."""
    compatibility_keys: tuple[str, ...]
    """Keys that were set to another value than their default and have no effect."""
    warnings: tuple[str, ...]
    """Sentences for the log: those keys, old names, settings that are legal and hardly meant."""


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Overrides = Overrides(),
) -> Loaded:
    """Read, merge and check every source.

    `path` is the file of `--config`; without it KYRODB_CONFIG in `environ` names one, and without that
    there is none. An environment variable that is empty counts as not set, except that it makes a
    KYRODB__ key null where null is allowed. Raises ConfigError with every fault at once.
    """
    if path is None and environ.get("KYRODB_CONFIG"):
        path = Path(environ["KYRODB_CONFIG"])
    layers = (_file(path), _environment(environ), _direct(environ), _command_line(overrides))
    entries = {name: entry for layer in layers for name, entry in layer.entries.items()}
    settings = validated(entries, (fault for layer in layers for fault in layer.faults))
    compatibility_keys = tuple(name for name in entries if _has_no_effect(settings, name))
    return Loaded(settings, path, compatibility_keys, _warnings(settings, entries))


def _file(path: Path | None) -> Layer:
    layer = Layer()
    if path is not None:
        tree, lines = read_file(path)
        layer.put_tree(tree, lambda name: f"{path} line {lines[name]}" if name in lines else str(path))
    return layer


def _environment(environ: Mapping[str, str]) -> Layer:
    layer = Layer()
    for variable in sorted(environ):
        if variable.upper().startswith(_PREFIX):
            name = variable[len(_PREFIX) :].lower().replace("__", ".")
            text = environ[variable]
            is_null = not text and name in KEYS and KEYS[name].optional
            layer.put(name, None if is_null else text, variable)
    return layer


def _direct(environ: Mapping[str, str]) -> Layer:
    layer = Layer()
    if port := environ.get("KYRODB_PORT"):
        layer.put("server.port", port, _KUBERNETES if port.startswith("tcp://") else "KYRODB_PORT")
    if data_dir := environ.get("KYRODB_DATA_DIR"):
        layer.put("persistence.data_dir", data_dir, "KYRODB_DATA_DIR")
    return layer


def _command_line(overrides: Overrides) -> Layer:
    layer = Layer()
    stated = (
        ("server.port", overrides.port, "--port"),
        ("persistence.data_dir", overrides.data_dir, "--data-dir"),
        ("hnsw.dimension", overrides.dimension, "--dimension"),
        ("hnsw.distance", overrides.distance, "--distance"),
        ("archive.follow", overrides.follow, "--follow"),
    )
    for name, value, flag in stated:
        if value is not None:
            layer.put(name, value, flag)
    return layer


def _has_no_effect(settings: Settings, name: str) -> bool:
    """Whether a key was set to a value without effect that differs from the generated file."""
    value = value_of(settings, name)
    return not KEYS[name].has_effect(value) and value != KEYS[name].default


def _warnings(settings: Settings, entries: Mapping[str, GivenValue]) -> tuple[str, ...]:
    found = []
    for name, entry in entries.items():
        if _has_no_effect(settings, name):
            value = "" if KEYS[name].compatibility_only else f" = {value_of(settings, name)}"
            found.append(f"{name}{value} ({entry.source}) is accepted for compatibility and has no effect")
        if entry.spelled != name:
            found.append(f"{entry.spelled} ({entry.source}) is the old name of {name}")
    if settings.hnsw.ef_search > settings.hnsw.ef_construction:
        found.append(
            f"hnsw.ef_search = {settings.hnsw.ef_search} is above hnsw.ef_construction "
            f"({settings.hnsw.ef_construction}): the graph is built with fewer candidates than a search examines"
        )
    if settings.persistence.wal_flush_interval_ms and settings.persistence.fsync_policy != "data_only":
        found.append(
            f"persistence.wal_flush_interval_ms = {settings.persistence.wal_flush_interval_ms} has no effect: "
            f"persistence.fsync_policy is {settings.persistence.fsync_policy}"
        )
    if settings.server.tls.require_client_cert and not settings.server.tls.enabled:
        found.append("server.tls.require_client_cert = true has no effect: server.tls.enabled is false")
    if settings.server.transport == "native":
        found.append("server.transport = native is no more: h2corn serves, which took its place")
    backup = settings.backup
    if backup.dir is not None and backup.directory is None and backup.interval_secs is None:
        found.append(f"backup.dir = {backup.dir} has no effect: backup.interval_secs is null")
    if settings.backup.retention.prunes and settings.backup.interval_secs is None:
        found.append("backup.retention has no effect: backup.interval_secs is null")
    return tuple(found)
