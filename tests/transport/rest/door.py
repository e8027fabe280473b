"""REST as the other doors are: the methods of a collection of the clients, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from tests.patience import PATIENCE_S

from pykyro.model.value_json import from_json, to_json


class Refused(Exception):
    """How a request was refused."""

    def __init__(self, response: httpx.Response) -> None:
        self.problem: dict[str, Any] = response.json()
        super().__init__(self.problem["detail"])
        self.status = response.status_code
        self.headers = response.headers


def client_of(http_port: int, key: str | None = None) -> httpx.Client:
    headers = {} if key is None else {"x-api-key": key}
    return httpx.Client(
        base_url=f"http://127.0.0.1:{http_port}", headers=headers, trust_env=False, timeout=PATIENCE_S
    )


def given(value: Any) -> Any:
    """A value, vector or filter as JSON."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: given(inner) for key, inner in value.items()}
    if isinstance(value, datetime | float):
        return to_json(value, "value")
    return [given(inner) for inner in value] if isinstance(value, list | tuple) else value


def shown(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """A hit or document as tests compare it."""
    vector = document.get("vector")
    expires_at = document.get("expires_at")
    return (
        document["id"],
        document.get("score"),
        {key: from_json(value) for key, value in document["metadata"].items()},
        None if vector is None else np.array(vector, np.float32).tobytes(),
        document.get("position", 0),
        None if expires_at is None else datetime.fromisoformat(expires_at),
    )


class RestDoor:
    """One collection. Answers come as tests compare them; a refusal is raised."""

    def __init__(self, client: httpx.Client, collection: str) -> None:
        self.client = client
        self.path = f"/v1/collections/{collection}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        response = self.client.request(
            method,
            self.path + path,
            json=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        if response.status_code >= 400:
            raise Refused(response)
        return response.json()

    def insert(
        self, doc_id: Any, vector: Any, metadata: Any = None, namespace: str = "", **more: Any
    ) -> None:
        body = {
            "vector": given(vector),
            "metadata": _entries(metadata),
            "namespace": namespace,
            **_when(more),
        }
        self.ask("PUT", f"/documents/{quote(str(doc_id), safe='')}", body)

    def insert_many(self, documents: Iterable[Any], namespace: str = "", **more: Any) -> Any:
        body = {"documents": [_new(document, namespace) for document in documents], **more}
        answer = self.ask("POST", "/documents", body)
        return answer["inserted"], [one["index"] for one in answer["refusals"]]

    def get(self, doc_id: Any, namespace: str = "") -> Any:
        try:
            query = f"include_vector=true&namespace={namespace}"
            return shown(self.ask("GET", f"/documents/{doc_id}?{query}"))
        except Refused as refused:
            if refused.problem["code"] != "NOT_FOUND":
                raise
            return None

    def get_many(self, ids: Any) -> Any:
        answer = self.ask("POST", "/get", {"ids": list(ids), "include_vectors": True})
        return [None if one is None else shown(one) for one in answer["documents"]]

    def search(self, vector: Any, k: int = 10, **more: Any) -> Any:
        answer = self.ask("POST", "/search", {"vector": given(vector), "k": k, **given(more)})
        return [shown(hit) for hit in answer["hits"]], answer["matched"], answer["exact"], answer["position"]

    def search_many(self, vectors: Any, k: int = 10, **more: Any) -> Any:
        searches = [{"vector": given(vector), "k": k, **given(more)} for vector in vectors]
        answers = self.ask("POST", "/search_many", {"searches": searches})["answers"]
        return [[shown(hit) for hit in answer["hits"]] for answer in answers]

    def scroll(self, **more: Any) -> Any:
        page = self.ask("POST", "/scroll", given(more))
        return [shown(one) for one in page["documents"]], page.get("next_page_token", ""), page["position"]

    def documents(self, **more: Any) -> Any:
        response = self.client.post(
            f"{self.path}/scroll", json=given(more), headers={"accept": "application/x-ndjson"}
        )
        *lines, last = map(json.loads, response.text.splitlines())
        assert last["end"] is True
        return [shown(line) for line in lines]

    def count(self, **more: Any) -> Any:
        return self.ask("POST", "/count", given(more))["count"]

    def sample(self, count: int, **more: Any) -> Any:
        return sorted(map(shown, self.ask("POST", "/sample", {"count": count, **given(more)})["documents"]))

    def facets(self, key: str, **more: Any) -> Any:
        found = self.ask("POST", "/facets", {"key": key, **given(more)})["facets"]
        return [(from_json(one["value"]), one["count"]) for one in found]

    def update_metadata(self, doc_id: Any, metadata: Any, *, merge: bool = False, **more: Any) -> Any:
        body = {"metadata": _entries(metadata), "merge": merge, **_when(more)}
        try:
            self.ask("PATCH", f"/documents/{doc_id}", body)
        except Refused as refused:
            if refused.problem["code"] != "NOT_FOUND":
                raise
            return False
        return True

    def delete(self, doc_id: Any, namespace: str = "") -> Any:
        return self.ask("DELETE", f"/documents/{doc_id}?namespace={namespace}")["existed"]

    def delete_many(self, ids: Any = None, **more: Any) -> Any:
        body = given(more) if ids is None else {"ids": list(ids), **given(more)}
        return self.ask("POST", "/delete", body)["deleted"]


def _entries(metadata: Any) -> Any:
    return {} if metadata is None else {key: to_json(value, key) for key, value in metadata.items()}


def _new(document: Any, namespace: str) -> dict[str, Any]:
    doc_id, vector, *metadata = document
    entries = _entries(metadata[0]) if metadata else {}
    return {"id": doc_id, "vector": given(vector), "metadata": entries, "namespace": namespace}


def _when(more: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions and ends of documents as JSON has them."""
    found = {key: given(value) for key, value in more.items()}
    if isinstance(more.get("expires_at"), datetime):
        found["expires_at"] = more["expires_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found
