"""The console at /console/ of the HTTP port: files of this package that a browser shows, and that only ask REST.

The files hold no data, so what they show is what the key that a person types in may see. They are read
once, and a path is looked up among theirs: no part of a request ever becomes a path of the file system.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse, Response

from pykyro.transport.http.access import CONSOLE

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_FOLDER: Final = "console"
_PAGE: Final = "index.html"
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Console:
    """An ASGI application for these paths."""

    def __init__(self) -> None:
        self._answers: dict[str, Response] = {CONSOLE.rstrip("/"): RedirectResponse(CONSOLE, 308, _HEADERS)}
        for file in resources.files(__package__ or "").joinpath(_FOLDER).iterdir():
            media_type = _TYPES.get(file.name[file.name.rfind(".") :])
            if media_type is not None:
                path = CONSOLE if file.name == _PAGE else CONSOLE + file.name
                headers = _HEADERS | {"content-type": f"{media_type}; charset=utf-8"}
                self._answers[path] = Response(file.read_bytes(), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answers.get(scope["path"], Response(status_code=404))
        if scope["method"] not in ("GET", "HEAD"):
            answer = Response(status_code=405, headers={"allow": "GET, HEAD"})
        await answer(scope, receive, send)
