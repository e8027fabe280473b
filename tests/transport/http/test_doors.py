"""Where REST is served, and what its paths answer while there is no database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.config import Settings
from pykyro.server.security import read_keys
from pykyro.service.server_state import ServerState
from pykyro.transport.http.doors import withheld
from pykyro.transport.http.http import serving_http

TLS = {"enabled": True, "cert_path": "a", "key_path": "b", "ca_cert_path": "c"}


def settings_of(directory: Path, *, auth: dict[str, Any] | None = None, **server: Any) -> Settings:
    return Settings.model_validate(
        {
            "server": {"http_port": 0} | server,
            "auth": auth or {},
            "hnsw": {"dimension": 4},
            "persistence": {"data_dir": directory / "data"},
        }
    )


KEYS = {"enabled": True, "api_keys_file": "keys.yaml"}


@pytest.mark.parametrize(
    ("server", "auth", "words"),
    [
        ({}, {}, ""),
        ({"rest": False}, {}, "server.rest"),
        ({"tls": TLS}, KEYS, "in clear"),
        ({"tls": TLS | {"http": "tls"}}, KEYS, ""),
        ({"tls": TLS | {"http": "mtls"}}, KEYS, ""),
        ({"tls": TLS | {"http": "tls", "require_client_cert": True}}, KEYS, "need a certificate"),
        ({"tls": TLS | {"http": "mtls", "require_client_cert": True}}, KEYS, ""),
        ({"http_host": "0.0.0.0"}, {}, "without a key"),
        ({"http_host": "0.0.0.0"}, KEYS, ""),
        ({"host": "0.0.0.0"}, {}, ""),
        ({"host": "0.0.0.0", "http_host": "127.0.0.1"}, {}, ""),
    ],
)
def test_rest_is_served_where_the_port_is_guarded_as_the_other(
    tmp_path: Path, server: dict[str, Any], auth: dict[str, Any], words: str
) -> None:
    reason = withheld(settings_of(tmp_path, auth=auth, **server))
    assert bool(reason) == bool(words)
    assert words in reason


def test_while_there_is_no_database_rest_says_so(tmp_path: Path) -> None:
    with (
        serving_http(ServerState(settings_of(tmp_path))) as http,
        httpx.Client(base_url=f"http://127.0.0.1:{http.port}", trust_env=False) as client,
    ):
        response = client.get("/v1/collections")
        assert (response.status_code, response.json()["code"]) == (503, "UNAVAILABLE")
        assert response.headers["retry-after"] == "1"
        assert client.get("/v1/openapi.json").status_code == 200
        assert client.get("/v1/nothing").status_code == 404
        assert client.get("/v1").status_code == 404


def test_switched_off_there_is_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for settings, warns in (
        (settings_of(tmp_path, rest=False), False),
        (settings_of(tmp_path, http_host="0.0.0.0"), True),
    ):
        caplog.clear()
        with serving_http(ServerState(settings)) as http:
            for path in ("/v1/collections", "/v1/docs", "/v1/openapi.json"):
                response = httpx.get(f"http://127.0.0.1:{http.port}{path}", trust_env=False)
                assert (response.status_code, response.text) == (404, "")
        assert ("REST is not served" in caplog.text) == warns


@pytest.mark.parametrize("mode", ["disabled", "all"])
def test_the_description_is_guarded_as_health_is(tmp_path: Path, mode: str) -> None:
    keys = write_keys(tmp_path / "keys.yaml", entry())
    settings = settings_of(tmp_path, auth={"enabled": True, "api_keys_file": keys}, observability_auth=mode)
    server_state = ServerState(settings)
    server_state.keys = read_keys(settings)
    with serving_http(server_state) as http:
        for path in ("/v1/docs", "/v1/openapi.json"):
            url = f"http://127.0.0.1:{http.port}{path}"
            assert httpx.get(url, trust_env=False).status_code == (401 if mode == "all" else 200)
            known = httpx.get(url, headers={"x-api-key": key_of("acme")}, trust_env=False)
            assert known.status_code == 200
        refused = httpx.get(f"http://127.0.0.1:{http.port}/v1/collections", trust_env=False)
        assert (refused.status_code, refused.json()["detail"]) == (401, "missing api key")
