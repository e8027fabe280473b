"""What contract tests share: a part of the database of their own, and a way to look at a refusal."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from tests.server.running import RunningServer

from pykyro.proto import kyrodb_pb2 as pb

Response = TypeVar("Response", bound=Message)

DIMENSION = 4
TRANSPORTS = ("h2corn", "grpcio")
_first_ids = itertools.count(1000, 20_000)


def but_position(response: Response) -> Response:
    """The response without its position, which depends on what other tests wrote. It has one."""
    assert response.position  # type: ignore[attr-defined]
    response.ClearField("position")
    return response


@dataclass
class Corner:
    """A part of the database that no other test looks at."""

    server: RunningServer
    first_id: int = field(default_factory=lambda: next(_first_ids))

    @property
    def namespace(self) -> str:
        return f"corner-{self.first_id}"

    def id(self, number: int) -> int:
        """The corner's document of this number."""
        return self.first_id + number

    def insert(
        self, number: int, embedding: list[float], metadata: dict[str, str] | None = None
    ) -> pb.InsertResponse:
        """Store one document of the corner."""
        response: pb.InsertResponse = self.server.stub.Insert(self.document(number, embedding, metadata))
        return response

    def document(
        self, number: int, embedding: list[float], metadata: dict[str, str] | None = None
    ) -> pb.InsertRequest:
        """The request `insert` sends."""
        return pb.InsertRequest(
            doc_id=self.id(number), embedding=embedding, metadata=metadata or {}, namespace=self.namespace
        )

    def query(self, number: int, *, namespace: str = "", include_embedding: bool = False) -> pb.QueryResponse:
        """Look one document of the corner up."""
        request = pb.QueryRequest(
            doc_id=self.id(number), namespace=namespace, include_embedding=include_embedding
        )
        response: pb.QueryResponse = self.server.stub.Query(request)
        return response

    def search(self, embedding: list[float], k: int = 10, **fields: object) -> pb.SearchResponse:
        """Search the corner."""
        wanted = {"query_embedding": embedding, "k": k, "namespace": self.namespace} | fields
        response: pb.SearchResponse = self.server.stub.Search(pb.SearchRequest(**wanted))  # type: ignore[arg-type]
        return response

    def found(self, embedding: list[float], k: int = 10, **fields: object) -> list[int]:
        """Numbers of the documents a search of the corner finds, best first."""
        return [row.doc_id - self.first_id for row in self.search(embedding, k, **fields).results]


class Refused:
    """Collects how a call was refused."""

    code: str
    text: str
    trailing: dict[str, str]

    def __enter__(self) -> Refused:
        return self

    def __exit__(self, kind: object, error: Any, traceback: object) -> bool:
        assert isinstance(error, grpc.RpcError), "the call was not refused"
        self._read(error)
        return True

    def _read(self, call: Any) -> None:
        self.code = call.code().name
        self.text = call.details() or ""
        self.trailing = {key: str(value) for key, value in call.trailing_metadata() or ()}
