"""What an operator sees of a running server."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import grpc
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer

from pykyro.proto import kyrodb_pb2 as pb

DIMENSION = 4


def get(server: RunningServer, path: str) -> tuple[int, str]:
    """Status and body of one request to the HTTP port."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def metric(server: RunningServer, name: str, **labels: str) -> float:
    """The value of one sample of /metrics, without the prefix in its name."""
    braced = ",".join(f'{label}="{value}"' for label, value in labels.items())
    wanted = f"kyrodb_{name}" + (f"{{{braced}}}" if braced else "")
    for line in get(server, "/metrics")[1].splitlines():
        sample, _, value = line.rpartition(" ")
        if sample == wanted:
            return float(value)
    raise KeyError(wanted)


def health(server: RunningServer) -> tuple[int, dict[str, Any]]:
    """Status and body of /health."""
    status, body = get(server, "/health")
    return status, json.loads(body)


def insert(server: RunningServer, doc_id: int, **metadata: str) -> None:
    """Store a document; its vector follows from its id."""
    vector = [1.0, float(doc_id), 0.5, -1.0]
    server.stub.Insert(
        pb.InsertRequest(doc_id=doc_id, embedding=vector, metadata=metadata), timeout=PATIENCE_S
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an insert ended."""

    code: str
    details: str


def try_insert(server: RunningServer, doc_id: int, **metadata: str) -> Outcome:
    """Store a document, or be refused."""
    try:
        insert(server, doc_id, **metadata)
    except grpc.RpcError as error:
        call: Any = error
        return Outcome(call.code().name, call.details())
    return Outcome("OK", "")


def stored(server: RunningServer, *doc_ids: int) -> set[int]:
    """Those of the documents that are there."""
    response = server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=doc_ids), timeout=PATIENCE_S)
    return {result.doc_id for result in response.results if result.found}


def found(server: RunningServer) -> list[int]:
    """The documents a search finds."""
    request = pb.SearchRequest(query_embedding=[1.0, 0.0, 0.0, 0.0], k=1000)
    return [result.doc_id for result in server.stub.Search(request, timeout=PATIENCE_S).results]
