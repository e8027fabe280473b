"""Each rule between keys, on the line and past it."""

from __future__ import annotations

import pytest

from pykyro.config import load_settings
from pykyro.config.keys import KEYS
from pykyro.config.settings.rules import RULES
from pykyro.model.errors import ConfigError

AUTH = {"auth.enabled": "true", "auth.api_keys_file": "keys.yaml"}
TLS = {"server.tls.enabled": "true", "server.tls.cert_path": "c", "server.tls.key_path": "k"}

# Values that break exactly one rule, what it says, and the change that mends it.
CASES = [
    (
        {"server.port": "5", "server.http_port": "5"},
        "server.http_port = 5: must differ",
        {"server.http_port": "6"},
    ),
    ({"server.port": "64536"}, "HTTP port would exceed 65535", {"server.port": "64535"}),
    ({"server.port": "65535"}, "HTTP port would exceed 65535", {"server.http_port": "0"}),
    (
        {"server.observability_auth": "metrics_and_slo"},
        "server.observability_auth = metrics_and_slo: requires auth.enabled=true",
        AUTH,
    ),
    ({**TLS, "server.tls.cert_path": ""}, "server.tls.cert_path = null", {"server.tls.cert_path": "c"}),
    ({**TLS, "server.tls.key_path": ""}, "server.tls.key_path = null", {"server.tls.enabled": "false"}),
    (
        {**TLS, "server.tls.require_client_cert": "true"},
        "server.tls.ca_cert_path = null",
        {"server.tls.ca_cert_path": "ca"},
    ),
    ({"server.tls.http": "tls"}, "server.tls.http = tls: requires server.tls.enabled=true", TLS),
    (
        {**TLS, "server.tls.http": "mtls"},
        "server.tls.ca_cert_path = null: must be set when server.tls.http=mtls",
        {"server.tls.ca_cert_path": "ca"},
    ),
    ({"auth.enabled": "true"}, "auth.api_keys_file = null", {"auth.api_keys_file": "keys.yaml"}),
    *(
        (
            {"rate_limit.enabled": "true", f"rate_limit.{name}": "0"},
            f"rate_limit.{name} = 0: must be at least 1 when rate_limit.enabled=true",
            mend,
        )
        for name in ("max_qps_per_connection", "max_qps_global", "burst_capacity")
        for mend in ({f"rate_limit.{name}": "1"}, {"rate_limit.enabled": "false"})
    ),
    (
        {"hnsw.ef_construction": "15"},
        "hnsw.ef_construction = 15: must be at least hnsw.m (16)",
        {"hnsw.m": "15"},
    ),
    ({"backup.interval_secs": "60"}, "backup.dir = null", {"backup.dir": "backups"}),
    (
        {"backup.dir": "data"},
        "backup.dir = data: must be outside persistence.data_dir",
        {"backup.dir": "data2"},
    ),
    ({"backup.dir": "x/../data/b"}, "must be outside", {"backup.dir": "data/../b"}),
]


def environ(values: dict[str, str]) -> dict[str, str]:
    return {"KYRODB__" + name.replace(".", "__"): text for name, text in values.items()}


@pytest.mark.parametrize(("values", "fragment", "mend"), CASES)
def test_rule_refuses_what_breaks_it_and_nothing_nearer(
    values: dict[str, str], fragment: str, mend: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, environ(values))
    (fault,) = caught.value.faults
    assert fragment in fault
    load_settings(None, environ(values | mend))


def test_every_rule_has_a_case_and_names_real_keys() -> None:
    broken = set()
    for values, _, _ in CASES:
        with pytest.raises(ConfigError) as caught:
            load_settings(None, environ(values))
        broken |= {fault.split(":")[0].split(" = ")[0] for fault in caught.value.faults}
    assert broken == {rule.message.split(":")[0].split(" = ")[0] for rule in RULES}
    assert all(name in KEYS for rule in RULES for name in rule.keys)
