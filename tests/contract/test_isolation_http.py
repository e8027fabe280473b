"""Every path of the HTTP port with every kind of key, in every mode of server.observability_auth.

The rows are found by reflection over the routes: a new path fails here until it says who may ask for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.contract.tenants import ADMIN, DISABLED, ENTRIES, MALFORMED, OTHER, OWN, UNKNOWN
from tests.tenancy.keys import CANARY, write_keys

from pykyro.config import Settings
from pykyro.database.opening import open_database
from pykyro.engine.engine import Engine
from pykyro.model.requests import Put
from pykyro.model.types import Document, Scope
from pykyro.server.security import read_keys
from pykyro.service.server_state import ServerState
from pykyro.service.usage_reporter import UsageReporter
from pykyro.telemetry.health import Phase
from pykyro.tenancy.key_ring import KeyRing
from pykyro.transport.http.http import application, serving_http

HEADERS = ("x-api-key", "authorization")
MODES = ("disabled", "metrics_and_slo", "all")
GUARDED = {
    "/health": ("all",),
    "/ready": ("all",),
    "/metrics": ("metrics_and_slo", "all"),
    "/slo": ("metrics_and_slo", "all"),
    "/usage": MODES,
}
"""Which modes ask for a key, by path."""
NOT_OPENING = {"missing": None, "malformed": MALFORMED, "unknown": UNKNOWN, "disabled": DISABLED, "empty": ""}


def settings_of(directory: Path, mode: str, *, auth: bool = True) -> Settings:
    return Settings.model_validate(
        {
            "server": {"http_port": 0, "observability_auth": mode},
            "auth": {"enabled": auth, "api_keys_file": directory / "keys.yaml"},
            "hnsw": {"dimension": 4},
            "persistence": {"data_dir": directory / "data"},
        }
    )


@dataclass
class Port:
    """The HTTP port of a server that is up."""

    server_state: ServerState
    client: httpx.Client

    def get(
        self, path: str, key: str | None = None, *, header: str = "x-api-key", method: str = "GET"
    ) -> httpx.Response:
        value = key if header == "x-api-key" else f"Bearer {key}".strip()
        headers = {} if key is None or value is None else {header: value}
        return self.client.request(method, path, headers=headers)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("http")
    write_keys(directory / "keys.yaml", *ENTRIES)
    return directory


@pytest.fixture(scope="module")
def engine(directory: Path) -> Iterator[Engine]:
    """acme has two documents, globex one."""
    engine = open_database(settings_of(directory, "all"))
    indices = engine.tenant_indices(["acme", "globex"])
    for tenant, local in (("acme", 1), ("acme", 2), ("globex", 1)):
        index = indices[tenant]
        document = Document(local, np.ones(4, np.float32), Scope(index).constraints, index)
        engine.write(Put(document))
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=MODES)
def port(request: pytest.FixtureRequest, directory: Path, engine: Engine) -> Iterator[Port]:
    yield from _serving(settings_of(directory, request.param), engine)


@pytest.fixture(scope="module")
def open_port(directory: Path, engine: Engine) -> Iterator[Port]:
    """Without auth."""
    yield from _serving(settings_of(directory, "disabled", auth=False), engine)


def _serving(settings: Settings, engine: Engine) -> Iterator[Port]:
    server_state = ServerState(settings)
    server_state.keys = read_keys(settings)
    server_state.engine, server_state.phase = engine, Phase.SERVING
    if settings.auth.enabled:
        server_state.usage_reporter = UsageReporter(engine)
    with (
        serving_http(server_state) as http,
        httpx.Client(base_url=f"http://127.0.0.1:{http.port}", trust_env=False) as client,
    ):
        yield Port(server_state, client)


def mode_of(port: Port) -> str:
    return port.server_state.settings.server.observability_auth


def test_every_path_has_its_row(port: Port) -> None:
    paths = {route.path for route in application(port.server_state).routes}  # type: ignore[attr-defined]
    assert paths == set(GUARDED)


@pytest.mark.parametrize("path", [*GUARDED, "/unknown", "/usage/x"])
def test_a_key_that_does_not_open_is_refused_where_one_is_needed(port: Port, path: str) -> None:
    for kind, header in itertools.product(NOT_OPENING, HEADERS):
        response = port.get(path, NOT_OPENING[kind], header=header)
        if mode_of(port) in GUARDED.get(path, ("all",)):
            assert (response.status_code, response.text) == (401, "unauthorized"), (kind, header)
            assert "content-type" not in response.headers
            assert CANARY not in str(response.headers)
        elif path in GUARDED:
            assert response.status_code == 200, (kind, header)
        else:
            assert (response.status_code, response.text) == (404, ""), (kind, header)


@pytest.mark.parametrize("path", GUARDED)
def test_any_key_that_opens_opens_every_path(port: Port, path: str) -> None:
    for key, header in itertools.product((OWN, OTHER, ADMIN), HEADERS):
        response = port.get(path, key, header=header)
        assert response.status_code == 200, (key, header)
        assert CANARY not in response.text
        assert port.get("/unknown", key).status_code == 404


def test_methods_that_do_not_exist_tell_nothing_without_a_key(port: Port) -> None:
    guarded = mode_of(port) == "all"
    assert port.get("/health", method="POST").status_code == (401 if guarded else 405)
    assert port.get("/health", OWN, method="POST").status_code == 405
    assert port.get("/usage", method="HEAD").status_code == 401
    assert port.get("/usage", OWN, method="HEAD").status_code == 200


def tenants_in(response: httpx.Response) -> dict[str, Any]:
    return {row["tenant_id"]: row for row in response.json()["tenants"]}


def test_usage_is_ones_own_and_everybodys_for_admins_alone(port: Port) -> None:
    own = tenants_in(port.get("/usage", OWN))
    assert {name: row["vector_count"] for name, row in own.items()} == {"acme": 2}
    assert tenants_in(port.get("/usage?scope=self", OTHER)).keys() == {"globex"}
    assert tenants_in(port.get("/usage?scope=SELF", ADMIN)).keys() == {"acme"}
    assert tenants_in(port.get("/usage?scope=ALL", ADMIN)).keys() == {"acme", "globex"}
    for key in (OWN, OTHER):
        refused = port.get("/usage?scope=all", key)
        assert (refused.status_code, refused.text) == (403, "forbidden")
        assert "content-type" not in refused.headers


def test_a_scope_that_is_none_is_refused_before_rights_are_looked_at(port: Port) -> None:
    for key in (OWN, ADMIN):
        refused = port.get("/usage?scope=mine", key)
        assert refused.status_code == 400
        assert refused.json() == {"error": "invalid scope 'mine': expected 'self' or 'all'"}
    assert port.get("/usage?scope=mine").status_code == 401


def test_usage_while_starting_is_unavailable(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port.server_state, "usage_reporter", None)
    assert port.get("/usage", OWN).status_code == 503


def test_usage_of_a_tenant_that_did_nothing_is_empty(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = replace(port.server_state.keys.find(OWN), tenant_id="idle")
    monkeypatch.setattr(port.server_state, "keys", KeyRing([idle]))
    body = port.get("/usage", OWN).json()
    assert body["tenants"] == []
    assert body["totals"] == {"query_count": 0, "vector_count": 0, "storage_bytes": 0, "billable_events": 0}


def test_without_auth_there_is_no_usage_and_no_key_is_asked_for(open_port: Port) -> None:
    for key in (None, UNKNOWN, ADMIN):
        for path in ("/usage", "/usage?scope=nonsense", "/usage?scope=all"):
            response = open_port.get(path, key)
            assert response.status_code == 404
            assert response.json() == {"error": "usage tracking disabled (auth.enabled=false)"}
        assert open_port.get("/metrics", key).status_code == 200


def test_a_key_that_is_taken_away_opens_no_more(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port.server_state, "keys", KeyRing(()))
    assert port.get("/usage", OWN).status_code == 401
