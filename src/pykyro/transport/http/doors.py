"""Which paths of the HTTP port are REST, and whether it may be served there at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pykyro.config import Settings
from pykyro.service.server_state import ServerState
from pykyro.transport.http.access import KeyGate

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

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
    """ASGI application: REST below /v1/, everything else as ever."""

    def __init__(self, others: ASGIApp, rest: ASGIApp, pages: ASGIApp, server_state: ServerState) -> None:
        self._others = others
        self._rest = rest
        self._pages = KeyGate(pages, server_state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._others
        if scope["type"] == "http" and scope["path"].startswith(REST_PATHS):
            app = self._pages if scope["path"] in (OPENAPI, DOCS) else self._rest
        await app(scope, receive, send)
