"""/v1/openapi.json says what REST does: whatever schemathesis makes of it is answered as described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
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
from tests.contract.tenants import ADMIN, Tenants, shared_server
from tests.patience import PATIENCE_S
from tests.transport.rest.door import client_of

from pykyro.transport.rest.openapi import description
from pykyro.transport.rest.operations import OPERATIONS
from pykyro.version import __version__

DESCRIPTION: Final = description()
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
]
DESCRIBED: Final = [
    one.ok()
    for one in schemathesis.openapi.from_dict(DESCRIPTION).get_all_operations()
    if isinstance(one, Ok)
]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with shared_server(tmp_path_factory.mktemp("openapi")) as shared:
        shared.http("/v1/collections", ADMIN)
        vectors = [{"id": at, "vector": [1.0, at, 0, 0], "metadata": {"n": at}} for at in range(1, 50)]
        with client_of(shared.server.http_port, ADMIN) as client:
            answer = client.post("/v1/collections/default/documents", json={"documents": vectors})
            assert answer.json()["inserted"] == 49
        yield shared


def test_every_operation_is_described() -> None:
    described = {
        (method.upper(), path) for path, methods in DESCRIPTION["paths"].items() for method in methods
    }
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert DESCRIPTION["info"]["version"] == __version__


def test_every_reference_leads_to_a_schema() -> None:
    text = json.dumps(DESCRIPTION)
    for part in text.split('"$ref": "')[1:]:
        name = part.partition('"')[0].removeprefix("#/components/schemas/")
        assert name in DESCRIPTION["components"]["schemas"]


def test_the_description_is_served_and_so_is_its_page(tenants: Tenants) -> None:
    served = tenants.http("/v1/openapi.json")
    assert served.json() == json.loads(json.dumps(DESCRIPTION))
    page = tenants.http("/v1/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert "://" not in page.text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("operation", DESCRIBED, ids=lambda operation: operation.label)
def test_whatever_is_asked_is_answered_as_described(tenants: Tenants, operation: Any) -> None:
    @settings(
        max_examples=6,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy()
        | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    )
    def ask(case: Any) -> None:
        case.call_and_validate(
            base_url=f"http://127.0.0.1:{tenants.server.http_port}",
            headers={"x-api-key": ADMIN},
            checks=CHECKS,
            timeout=PATIENCE_S,
        )

    ask()
