"""Access to the HTTP port: one gate before every endpoint, known or not."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.responses import Response

from pykyro.config import Settings
from pykyro.model.errors import Unauthenticated
from pykyro.service.server_state import ServerState
from pykyro.tenancy.api_keys import BEARER, ApiKey, presented_key

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

KEY_IN_SCOPE: Final = "kyrodb.key"
"""Where an endpoint finds the ApiKey of a request that had to have one."""

MEASURING: Final = frozenset(("/metrics", "/slo"))
USAGE: Final = "/usage"
DASHBOARD: Final = "/"
CONSOLE: Final = "/console/"
_BASIC: Final = "Basic "


def needs_key(settings: Settings, path: str) -> bool:
    """Whether a request for `path` must come with a key."""
    if not settings.auth.enabled:
        return False
    match settings.server.observability_auth:
        case "all":
            return True
        case "metrics_and_slo":
            return path in MEASURING or path == USAGE or (path == DASHBOARD and settings.server.dashboard)
        case _:
            return path == USAGE


class KeyGate:
    """ASGI middleware: answers 401 instead of the application where a key is needed and none that opens comes."""

    def __init__(self, app: ASGIApp, server_state: ServerState) -> None:
        self._app = app
        self._server_state = server_state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and needs_key(self._server_state.settings, scope["path"]):
            key = self._key(Headers(scope=scope))
            if key is None:
                # RFC 9110 demands this challenge of a 401. A browser asks its user only for a password.
                wanted = (
                    'Basic realm="KyroDB: an API key as the password"'
                    if self._for_browsers(scope)
                    else "Bearer"
                )
                refused = Response("unauthorized", 401, headers={"www-authenticate": wanted})
                await refused(scope, receive, send)
                return
            scope[KEY_IN_SCOPE] = key
        await self._app(scope, receive, send)

    def _for_browsers(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return self._server_state.settings.server.dashboard and (
            path == DASHBOARD or path.startswith(CONSOLE)
        )

    def _key(self, headers: Headers) -> ApiKey | None:
        authorization = headers.get("authorization")
        if self._server_state.settings.server.dashboard:
            authorization = _bearer_of_basic(authorization)
        try:
            return self._server_state.keys.find(presented_key(headers.get("x-api-key"), authorization))
        except Unauthenticated:
            return None


def _bearer_of_basic(authorization: str | None) -> str | None:
    """Turns the header of a browser, whose user gave a key as the password, into the one that programs send."""
    if authorization is None or not authorization.startswith(_BASIC):
        return authorization
    try:
        pair = base64.b64decode(authorization.removeprefix(_BASIC), validate=True).decode("utf-8")
    except ValueError:
        return None
    return BEARER + pair.partition(":")[2]
