"""Errors as RFC 9457 says them: the words of the status that a gRPC client gets, in JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import grpc

from pykyro.model.errors import InvalidArgument, KyroError, Portable, ResourceExhausted
from pykyro.proto.methods import RETRY_AFTER_KEY
from pykyro.service.call_log import REQUEST_ID_KEY
from pykyro.transport.grpc.status import code_of

PROBLEM: Final = "application/problem+json"
TOO_LARGE: Final = 413
_UNAVAILABLE_RETRY_S: Final = 1

STATUSES: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 412,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""The status of HTTP for each code; 500 for the others."""

_FIELDS: Final = {
    "doc_id": "id",
    "text_id": "id",
    "embedding": "vector",
    "query_embedding": "vector",
    "include_embedding": "include_vector",
    "include_embeddings": "include_vectors",
    "delete_criteria": "ids",
    "max_wait_s": "max_wait_ms",
}
"""What REST calls the fields of the wire contract that have another name here."""


class Problem(Portable):
    """A request that ends with an error."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int,
        field: str = "",
        retry_after_ms: int | None = None,
        request_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.request_id = request_id
        self.headers = headers or {}

    @property
    def content(self) -> dict[str, Any]:
        """Its body."""
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": title_of(self.status),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field:
            content["field"] = self.field
        if self.retry_after_ms is not None:
            content["retry_after_ms"] = self.retry_after_ms
        if self.request_id:
            content["request_id"] = self.request_id
        return content

    @property
    def all_headers(self) -> dict[str, str]:
        """Its headers: when to try again, and how to say who one is."""
        headers = dict(self.headers)
        if self.retry_after_ms is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_ms / 1000)))
        elif self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["retry-after"] = str(_UNAVAILABLE_RETRY_S)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return headers


def title_of(status: int) -> str:
    """The phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"


def problem_of_status(
    code: grpc.StatusCode, text: str, trailing: Iterable[tuple[str, str | bytes]] = (), field: str = ""
) -> Problem:
    """The error for the status a call ended with."""
    found = {name: str(value) for name, value in trailing}
    retry = found.get(RETRY_AFTER_KEY, "")
    return Problem(
        code.name,
        text,
        status=STATUSES.get(code, 500),
        field=rest_field(field),
        retry_after_ms=int(retry) if retry.isdecimal() else None,
        request_id=found.get(REQUEST_ID_KEY, ""),
    )


def problem_of(error: KyroError) -> Problem:
    """The error for what the door itself refuses."""
    retry_s = error.retry_after_s if isinstance(error, ResourceExhausted) else None
    trailing = () if retry_s is None else ((RETRY_AFTER_KEY, str(math.ceil(retry_s * 1000))),)
    field = error.field if isinstance(error, InvalidArgument) else ""
    return problem_of_status(code_of(error), str(error), trailing, field)


def too_large(text: str) -> Problem:
    """The error for a body that is larger than one may be."""
    return Problem(grpc.StatusCode.RESOURCE_EXHAUSTED.name, text, status=TOO_LARGE)


def unsupported(text: str) -> Problem:
    """The error for a body of a media type that is not read here."""
    return Problem(grpc.StatusCode.INVALID_ARGUMENT.name, text, status=415, field="content-type")


def rest_field(field: str) -> str:
    """The name in REST of a field of the wire contract."""
    name, at, rest = field.partition("[")
    if name in ("doc_ids", "text_ids"):
        name = "ids"
    return _FIELDS.get(name, name) + at + rest
