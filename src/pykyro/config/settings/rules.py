"""Conditions between keys, in any environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.config.settings.model import Settings
from pykyro.model import limits

ENVIRONMENTS: Final = ("production", "pilot", "benchmark")


@dataclass(frozen=True, slots=True)
class Rule:
    """Settings that cannot stand together.

    `message` is a format string over the settings: what was met, the bound, the way out.
    """

    keys: tuple[str, ...]
    broken: Callable[[Settings], bool]
    message: str
    environments: tuple[str, ...] = ENVIRONMENTS

    def fault(self, settings: Settings) -> str | None:
        """The message when `settings` break the rule, else None."""
        if settings.environment.type in self.environments and self.broken(settings):
            return self.message.format(settings)
        return None


def _inside_data_dir(settings: Settings) -> bool:
    directory = settings.backup.directory
    return directory is not None and Path(os.path.abspath(directory)).is_relative_to(
        os.path.abspath(settings.persistence.data_dir)
    )


def _needs_a_rate(name: str) -> Rule:
    return Rule(
        ("rate_limit.enabled", f"rate_limit.{name}"),
        lambda s: s.rate_limit.enabled and getattr(s.rate_limit, name) == 0,
        f"rate_limit.{name} = 0: must be at least 1 when rate_limit.enabled=true",
    )


RULES: Final = (
    Rule(
        ("server.port", "server.http_port"),
        lambda s: s.server.http_port == s.server.port,
        "server.http_port = {0.server.http_port}: must differ from server.port",
    ),
    Rule(
        ("server.port", "server.http_port"),
        lambda s: s.server.observability_port > limits.PORT_MAX,
        "server.port = {0.server.port}: HTTP port would exceed 65535 (it is server.port + 1000); "
        "set server.http_port or a lower server.port",
    ),
    Rule(
        ("server.observability_auth", "auth.enabled"),
        lambda s: s.server.observability_auth != "disabled" and not s.auth.enabled,
        "server.observability_auth = {0.server.observability_auth}: requires auth.enabled=true",
    ),
    Rule(
        ("server.tls.enabled", "server.tls.cert_path"),
        lambda s: s.server.tls.enabled and s.server.tls.cert_path is None,
        "server.tls.cert_path = null: must be set when server.tls.enabled=true",
    ),
    Rule(
        ("server.tls.enabled", "server.tls.key_path"),
        lambda s: s.server.tls.enabled and s.server.tls.key_path is None,
        "server.tls.key_path = null: must be set when server.tls.enabled=true",
    ),
    Rule(
        ("server.tls.enabled", "server.tls.require_client_cert", "server.tls.ca_cert_path"),
        lambda s: (
            s.server.tls.enabled and s.server.tls.require_client_cert and s.server.tls.ca_cert_path is None
        ),
        "server.tls.ca_cert_path = null: must be set when server.tls.require_client_cert=true",
    ),
    Rule(
        ("server.tls.enabled", "server.tls.http"),
        lambda s: s.server.tls.http != "off" and not s.server.tls.enabled,
        "server.tls.http = {0.server.tls.http}: requires server.tls.enabled=true",
    ),
    Rule(
        ("server.tls.http", "server.tls.ca_cert_path"),
        lambda s: s.server.tls.http == "mtls" and s.server.tls.ca_cert_path is None,
        "server.tls.ca_cert_path = null: must be set when server.tls.http=mtls",
    ),
    Rule(
        ("auth.enabled", "auth.api_keys_file"),
        lambda s: s.auth.enabled and s.auth.api_keys_file is None,
        "auth.api_keys_file = null: must be set when auth.enabled=true",
    ),
    _needs_a_rate("max_qps_per_connection"),
    _needs_a_rate("max_qps_global"),
    _needs_a_rate("burst_capacity"),
    Rule(
        ("hnsw.ef_construction", "hnsw.m"),
        lambda s: s.hnsw.ef_construction < s.hnsw.m,
        "hnsw.ef_construction = {0.hnsw.ef_construction}: must be at least hnsw.m ({0.hnsw.m})",
    ),
    Rule(
        ("backup.interval_secs", "backup.dir"),
        lambda s: s.backup.interval_secs is not None and s.backup.dir is None,
        "backup.dir = null: must be set when backup.interval_secs is",
    ),
    Rule(
        ("backup.dir", "persistence.data_dir"),
        _inside_data_dir,
        "backup.dir = {0.backup.dir}: must be outside persistence.data_dir ({0.persistence.data_dir}), "
        "which a restore replaces",
    ),
)
