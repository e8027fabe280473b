"""docs/openapi.yaml says what the HTTP port does: its routes, and whatever schemathesis makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.routing import Route
from tests.contract.tenants import ADMIN, OWN, Tenants, shared_server
from tests.patience import PATIENCE_S
from tests.transport.http.test_http import settings_of

from pykyro.service.server_state import ServerState
from pykyro.transport.http.http import application
from pykyro.version import __version__

PAGE = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
DESCRIPTION: dict[str, Any] = yaml.safe_load(PAGE.read_text("utf-8"))
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
]
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations() if isinstance(operation, Ok)]


def test_the_description_is_of_the_routes_there_are(tmp_path: Path) -> None:
    app = application(ServerState(settings_of(tmp_path, dashboard=True)))
    routes = {route.path: route.methods for route in app.routes if isinstance(route, Route)}
    described = {
        path: {method.upper() for method in operations} for path, operations in DESCRIPTION["paths"].items()
    }
    assert described == routes
    assert DESCRIPTION["info"]["version"] == __version__


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    directory = tmp_path_factory.mktemp("openapi")
    with shared_server(
        directory,
        server__observability_auth="metrics_and_slo",
        server__dashboard="true",
        server__transport="grpcio",
    ) as shared:
        yield shared


@pytest.mark.parametrize("key", [None, OWN, ADMIN], ids=["no key", "key", "admin"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_whatever_is_asked_is_answered_as_described(
    tenants: Tenants, operation: Any, key: str | None
) -> None:
    headers = {} if key is None else {"x-api-key": key}

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        case=operation.as_strategy()
        | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    )
    def ask(case: Any) -> None:
        case.call_and_validate(
            base_url=f"http://127.0.0.1:{tenants.server.http_port}",
            headers=headers,
            checks=CHECKS,
            timeout=PATIENCE_S,
        )

    ask()
