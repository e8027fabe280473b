"""Every operation of REST with every kind of key: what is refused, and that nobody sees what is another's.

The rows are found by reflection over the operations: a new one fails here until it says what it does.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from tests.contract.tenants import (
    ADMIN,
    DISABLED,
    MALFORMED,
    OTHER,
    OWN,
    UNKNOWN,
    Tenants,
    shared_server,
)
from tests.patience import PATIENCE_S
from tests.tenancy.keys import CANARY, entry, key_of

from pykyro.service.rpc_rules import RULES_OF_RPCS
from pykyro.transport.rest.operations import OPERATIONS

HEADERS: Final = ("x-api-key", "authorization")
SHARED, OWNED, ABSENT = 1, 2, 3
"""Ids: one that both tenants have, one that only acme has, one that nobody has."""
VECTOR: Final = [1.0, 0.0, 0.0, 0.0]
_PASSING: Final = ("latency_ms", "tier", "tiers", "position", "cached", "cache_margin")
"""What depends on the clock, on which tier answered, or on the writes of others."""
C: Final = "/v1/collections/default"
NOWHERE: Final = "/v1/collections/nowhere"


@dataclass(frozen=True)
class Row:
    """A request; `{id}` stands for the id of a document."""

    path: str
    body: Any = None
    there: str = ""
    """For an operation on documents, what is in an answer that tells of OWNED and in no other."""


def chosen(**more: Any) -> dict[str, Any]:
    return {"filter": {"id": "{id}"}, **more}


ROWS: Final = {
    "getDocument": Row(f"{C}/documents/{{id}}", there='"id":2'),
    "getDocuments": Row(f"{C}/get", {"ids": ["{id}"]}, '"found":1'),
    "search": Row(f"{C}/search", chosen(vector=VECTOR), '"id":2'),
    "searchMany": Row(f"{C}/search_many", {"searches": [chosen(vector=VECTOR)]}, '"id":2'),
    "scroll": Row(f"{C}/scroll", chosen(), '"id":2'),
    "count": Row(f"{C}/count", chosen(), '"count":1'),
    "sample": Row(f"{C}/sample", chosen(count=5), '"id":2'),
    "facets": Row(f"{C}/facets", chosen(key="id"), '"value":"2"'),
    "updateMetadata": Row(f"{C}/documents/{{id}}", {"metadata": {"seen": "yes"}}, '{"position"'),
    "deleteDocuments": Row(f"{C}/delete", chosen(), '"deleted":1'),
    "deleteDocument": Row(f"{C}/documents/{{id}}", there='"existed":true'),
    "putDocument": Row(f"{C}/documents/900", {"vector": VECTOR}),
    "insertDocuments": Row(f"{C}/documents", {"documents": [{"id": 901, "vector": VECTOR}]}),
    "listCollections": Row("/v1/collections"),
    "createCollection": Row("/v1/collections/made", {"dimension": 4, "exist_ok": True}),
    "describeCollection": Row(C),
    "changeCollection": Row(NOWHERE, {"ef_search": 60}),
    "renameCollection": Row(f"{NOWHERE}/rename", {"new_name": "somewhere"}),
    "moveCollection": Row(f"{NOWHERE}/move", {"cold_tier": "local"}),
    "dropCollection": Row(NOWHERE),
    "setAlias": Row("/v1/aliases/other", {"collection": "nowhere"}),
    "removeAlias": Row("/v1/aliases/nowhere"),
    "health": Row("/v1/health"),
    "metrics": Row(f"{C}/metrics"),
    "config": Row(f"{C}/config"),
    "flush": Row(f"{C}/flush", {"force": True}),
    "compact": Row(f"{C}/compact", {}),
    "snapshot": Row(f"{C}/snapshot", {}),
}
"""In an order in which what one does leaves the next something to find; deletions last."""
DATA: Final = [name for name, row in ROWS.items() if row.there]
METHODS: Final = {operation.name: operation.method for operation in OPERATIONS}
RULES: Final = {operation.name: RULES_OF_RPCS[operation.rpc] for operation in OPERATIONS}


class Rest:
    """REST of a server that tenants share."""

    def __init__(self, tenants: Tenants, client: httpx.Client) -> None:
        self.tenants = tenants
        self._client = client

    def ask(
        self, name: str, key: str | None, doc_id: int = OWNED, *, header: str = "x-api-key"
    ) -> httpx.Response:
        row = ROWS[name]
        body = (
            json.dumps(row.body).replace('"ids": ["{id}"]', f'"ids": [{doc_id}]').replace("{id}", str(doc_id))
        )
        return self.send(
            METHODS[name],
            row.path.replace("{id}", str(doc_id)),
            None if row.body is None else json.loads(body),
            key,
            header=header,
        )

    def send(
        self, method: str, path: str, body: Any, key: str | None, *, header: str = "x-api-key", **more: str
    ) -> httpx.Response:
        value = key if header == "x-api-key" or key is None else f"Bearer {key}".strip()
        headers = {} if value is None else {header: value}
        return self._client.request(method, path, json=body, headers=headers | more)


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with (
        shared_server(tmp_path_factory.mktemp("rest")) as tenants,
        httpx.Client(
            base_url=f"http://127.0.0.1:{tenants.server.http_port}", trust_env=False, timeout=PATIENCE_S
        ) as client,
    ):
        yield Rest(tenants, client)


@pytest.fixture
def stocked(rest: Rest) -> Rest:
    """acme has SHARED and OWNED, globex has SHARED."""
    for key, doc_ids in ((OWN, (SHARED, OWNED)), (OTHER, (SHARED,))):
        for doc_id in doc_ids:
            body = {"vector": VECTOR, "metadata": {"id": str(doc_id), "owner": key[5:9]}}
            assert rest.send("PUT", f"{C}/documents/{doc_id}", body, key).status_code == 200
    return rest


def plain(tree: Any) -> Any:
    """An answer without what depends on when it was asked."""
    if isinstance(tree, dict):
        return {name: plain(inner) for name, inner in tree.items() if name not in _PASSING}
    return [plain(inner) for inner in tree] if isinstance(tree, list) else tree


def test_every_operation_has_its_row() -> None:
    assert set(ROWS) == set(METHODS)
    assert {operation.rpc for operation in OPERATIONS} | {"BatchInsert", "BulkLoadHnsw"} == set(RULES_OF_RPCS)


@pytest.mark.parametrize("name", ROWS)
def test_no_operation_is_answered_without_a_key_that_opens(rest: Rest, name: str) -> None:
    without = rest.ask(name, None)
    assert without.status_code == 401
    assert without.headers["www-authenticate"] == "Bearer"
    assert (without.json()["code"], without.json()["detail"]) == ("UNAUTHENTICATED", "missing api key")
    keys = (MALFORMED, UNKNOWN, DISABLED, "", OWN[:-1], OWN + "x", OWN.upper())
    for key, header in itertools.product(keys, HEADERS):
        if not key and header == "authorization":
            continue  # what ends in a blank is no bearer, so there is no key at all
        refused = rest.ask(name, key, header=header)
        assert (refused.status_code, refused.json()["detail"]) == (401, "invalid api key"), (key, header)
        assert CANARY not in refused.text + str(refused.headers)


@pytest.mark.parametrize("name", ROWS)
def test_every_operation_is_answered_with_a_key_that_opens(stocked: Rest, name: str) -> None:
    for header in HEADERS:
        gone = name == "deleteDocument" and header == HEADERS[1]
        missing = "nowhere" in repr(ROWS[name]) and name != "removeAlias"
        assert stocked.ask(name, ADMIN, header=header).status_code in ((404,) if missing else (200, 201)), (
            gone
        )
        refused = stocked.ask(name, OTHER, SHARED, header=header)
        if RULES[name].admin:
            assert (refused.status_code, refused.json()["code"]) == (403, "PERMISSION_DENIED")
            assert "is_admin: true" in refused.json()["detail"]
        elif header == HEADERS[0]:
            assert refused.status_code == 200


def test_a_wrong_first_header_is_not_saved_by_a_right_second(rest: Rest) -> None:
    refused = rest.send("POST", f"{C}/count", {}, UNKNOWN, authorization=f"Bearer {OWN}")
    assert (refused.status_code, refused.json()["detail"]) == (401, "invalid api key")


@pytest.mark.parametrize("name", DATA)
def test_what_is_not_yours_looks_as_if_it_were_not_there(stocked: Rest, name: str) -> None:
    theirs, nobodys = stocked.ask(name, OTHER, OWNED), stocked.ask(name, OTHER, ABSENT)
    assert ROWS[name].there not in theirs.text
    assert theirs.status_code == nobodys.status_code
    assert plain(theirs.json()) == json.loads(
        json.dumps(plain(nobodys.json())).replace(f"'{ABSENT}'", f"'{OWNED}'")
    )
    own = stocked.ask(name, OWN, OWNED)
    assert ROWS[name].there in own.text, "the owner does not find it either, so the rest proves nothing"


@pytest.mark.parametrize(
    "kind", ["one", "json", "atomic", "lines", "load", "update", "delete", "delete many"]
)
def test_what_one_tenant_writes_changes_nothing_of_another(stocked: Rest, kind: str) -> None:
    def stored() -> list[Any]:
        return [plain(stocked.ask("getDocument", OWN, doc_id).json()) for doc_id in (SHARED, OWNED)]

    before = stored()
    both = [{"id": doc_id, "vector": VECTOR, "metadata": {"id": "9"}} for doc_id in (SHARED, OWNED)]
    lines = "\n".join(map(json.dumps, both))
    ndjson = {"content-type": "application/x-ndjson"}
    key = {"x-api-key": OTHER}
    match kind:
        case "one":
            answer = stocked.send("PUT", f"{C}/documents/{SHARED}", {"vector": VECTOR}, OTHER)
        case "json" | "atomic":
            body = {"documents": both, "atomic": kind == "atomic"}
            answer = stocked.send("POST", f"{C}/documents", body, OTHER)
        case "lines" | "load":
            path = f"{C}/documents?load={str(kind == 'load').lower()}"
            answer = stocked._client.post(path, content=lines, headers=ndjson | key)
        case "update":
            answer = stocked.send("PATCH", f"{C}/documents/{SHARED}", {"metadata": {"id": "9"}}, OTHER)
        case "delete":
            answer = stocked.send("DELETE", f"{C}/documents/{SHARED}", None, OTHER)
        case _:
            answer = stocked.send("POST", f"{C}/delete", {"ids": [SHARED, OWNED]}, OTHER)
    assert answer.status_code == 200
    assert answer.json().get("inserted", 2) == 2
    assert stored() == before
    stocked.send("POST", f"{C}/delete", {"ids": [OWNED]}, OTHER)


@pytest.mark.parametrize("name", ["__tenant_id__", "__tenant_idx__", "__namespace__"])
def test_no_reserved_entry_opens_another_tenant(stocked: Rest, name: str) -> None:
    claim = {"__tenant_id__": "acme", "__tenant_idx__": "1", "__namespace__": "x", "id": "7"}
    stored = stocked.send("PUT", f"{C}/documents/7", {"vector": VECTOR, "metadata": claim}, OTHER)
    assert stored.status_code == 200
    assert stocked.ask("getDocument", OWN, 7).status_code == 404
    assert stocked.ask("getDocument", OTHER, 7).json()["metadata"] == {"id": "7"}
    for condition in ({name: claim[name]}, {"$not": {name: claim[name]}}):
        found = stocked.send("POST", f"{C}/search", {"vector": VECTOR, "filter": condition}, OTHER).json()
        assert {hit["metadata"].get("owner", "glob") for hit in found["hits"]} <= {"glob"}


def test_a_tenant_is_told_neither_plan_nor_sizes(stocked: Rest) -> None:
    assert "plan" not in stocked.ask("search", OWN).json()
    assert "plan" in stocked.ask("search", ADMIN).json()
    assert "documents" not in stocked.ask("describeCollection", OWN).json()
    assert "documents" in stocked.ask("describeCollection", ADMIN).json()


def test_a_page_token_of_one_tenant_shows_nothing_of_it_to_another(stocked: Rest) -> None:
    page = stocked.send("POST", f"{C}/scroll", {"limit": 1}, OWN).json()
    token = page["next_page_token"]
    other = stocked.send("POST", f"{C}/scroll", {"limit": 10, "page_token": token}, OTHER).json()
    assert {document["metadata"].get("owner", "glob") for document in other["documents"]} <= {"glob"}


def test_rates_and_quotas_hold_for_both_doors_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    slow, small = key_of("slow", "s" * 32), key_of("small", "t" * 32)
    entries = (entry("slow", key=slow, max_qps=2), entry("small", key=small, max_vectors=2))
    with (
        shared_server(tmp_path_factory.mktemp("rates"), *entries, rate_limit__enabled="true") as tenants,
        httpx.Client(
            base_url=f"http://127.0.0.1:{tenants.server.http_port}", trust_env=False, timeout=PATIENCE_S
        ) as client,
    ):
        rest = Rest(tenants, client)
        answers = [rest.send("POST", f"{C}/count", {}, slow) for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        assert refused[0].json()["retry_after_ms"] > 0
        # What cannot be read is paid for as well.
        bad = [rest.send("POST", f"{C}/count", {"nothing": 1}, slow).status_code for _ in range(20)]
        assert 429 in bad
        documents = [{"id": at, "vector": VECTOR} for at in (1, 2, 3)]
        answer = rest.send("POST", f"{C}/documents", {"documents": documents}, small).json()
        assert (answer["inserted"], answer["failed"]) == (2, 1)
        assert answer["refusals"][0]["code"] == "RESOURCE_EXHAUSTED"
        usage = client.get("/usage", headers={"x-api-key": small}).json()
        assert usage["tenants"][0]["vector_count"] == 2


def test_no_secret_is_anywhere(stocked: Rest) -> None:
    """Runs last of this module, so on everything the tests before it left behind."""
    assert CANARY not in stocked.tenants.server.log
    assert CANARY not in stocked.tenants.http("/metrics").text
