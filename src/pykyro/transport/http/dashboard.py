"""Pages for people, such as that at / of the HTTP port: one file, no build step, no request to anywhere else.

The browser is told so: a content security policy lets it run only the style and the script in the file, by their
digests, and talk only to the server the page came from.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_PAGE: Final = "dashboard.html"


class Page:
    """A page and its headers, read once from a file of a package."""

    def __init__(self, package: str, name: str) -> None:
        text = resources.files(package).joinpath(name).read_text("utf-8")
        self._body = text.encode("utf-8")
        self._headers = {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": "; ".join(
                (
                    "default-src 'none'",
                    f"script-src {_digests(text, 'script')}",
                    f"style-src {_digests(text, 'style')}",
                    "connect-src 'self'",
                    "base-uri 'none'",
                    "form-action 'none'",
                    "frame-ancestors 'none'",
                )
            ),
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }

    def respond(self, request: Request) -> Response:
        """The page, for any caller."""
        return Response(self._body, headers=self._headers)


class Dashboard(Page):
    """The page with the figures."""

    def __init__(self) -> None:
        super().__init__(__package__ or "", _PAGE)


def _digests(page: str, element: str) -> str:
    """The digests by which a policy allows the contents of these elements of the page."""
    contents = re.findall(rf"<{element}>(.*?)</{element}>", page, flags=re.DOTALL)
    hashes = (hashlib.sha256(content.encode("utf-8")).digest() for content in contents)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in hashes)
