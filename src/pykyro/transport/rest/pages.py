"""The description of REST at /v1/openapi.json and a page that shows it at /v1/docs, made when first asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pykyro.transport.http.dashboard import Page
from pykyro.transport.rest.openapi import description


class Pages:
    """An ASGI application for these two paths."""

    def __init__(self) -> None:
        self._openapi = b""
        self._docs: Page | None = None

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        await self._response(scope)(scope, receive, send)  # type: ignore[arg-type]

    def _response(self, scope: Mapping[str, Any]) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        if scope["path"].endswith(".json"):
            self._openapi = self._openapi or json.dumps(description(), separators=(",", ":")).encode()
            headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
            return Response(self._openapi, headers=headers, media_type="application/json")
        self._docs = self._docs or Page(__package__ or "", "docs.html")
        return self._docs.respond(Request(dict(scope)))
