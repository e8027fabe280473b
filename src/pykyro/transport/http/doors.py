"""Which paths of the HTTP port are REST, and whether it may be served there at all."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING, Final

from pykyro.config import Settings
from pykyro.service.server_state import ServerState
from pykyro.transport.http.access import KeyGate
from pykyro.transport.http.backend import Backend

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pykyro.transport.rest.rest import Rest

REST_PATHS: Final = "/v1/"
OPENAPI, DOCS = "/v1/openapi.json", "/v1/docs"


def withheld(settings: Settings) -> str:
    """Why REST is not served: the HTTP port must be guarded at least as the gRPC port is, for what it opens is the
    same. "" when it is served."""
    server, tls = settings.server, settings.server.tls
    if not server.rest:
        return "server.rest = false"
    if tls.enabled and tls.http == "off":
        return "server.tls.http = off: keys and documents would go in clear, and the gRPC port has TLS"
    if tls.enabled and tls.require_client_cert and tls.http != "mtls":
        return f"server.tls.http = {tls.http}: clients of the gRPC port need a certificate; set it to mtls"
    if not settings.auth.enabled and server.grpc_is_loopback and not server.http_is_loopback:
        return (
            f"server.http_host = {server.observability_host}: other machines would reach all documents without a "
            "key, and the gRPC port is for this machine alone; set auth.enabled"
        )
    return ""


class Doors:
    """ASGI application: REST below /v1/, everything else as ever.

    What serves REST is loaded with the first request for it: a server that nobody asks so does without its models.
    """

    def __init__(self, others: ASGIApp, server_state: ServerState, requests_max: int) -> None:
        """At most `requests_max` requests of REST are answered at once."""
        self._others = others
        self._server_state = server_state
        self._requests_max = requests_max
        self._rest: Rest | None = None
        self._pages: ASGIApp | None = None
        self._backend: Backend | None = None
        self._loading = Lock()

    def open(self, backend: Backend) -> None:
        """From now on REST is carried out by these handlers."""
        self._backend = backend
        with self._loading:
            if self._rest is not None:
                self._rest.backend = backend

    def close(self) -> None:
        """The database is not there any more."""
        self._backend = None
        with self._loading:
            if self._rest is not None:
                self._rest.backend = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._others
        if scope["type"] == "http" and scope["path"].startswith(REST_PATHS):
            if self._rest is None or self._pages is None:
                await asyncio.to_thread(self._load)
            app = self._pages if scope["path"] in (OPENAPI, DOCS) else self._rest  # type: ignore[assignment]
        await app(scope, receive, send)

    def _load(self) -> None:
        from pykyro.transport.rest.pages import Pages
        from pykyro.transport.rest.rest import Rest

        with self._loading:
            if self._rest is None:
                self._pages = KeyGate(Pages(), self._server_state)
                self._rest = Rest(self._server_state, self._requests_max)
                self._rest.backend = self._backend
