"""The HTTP port of a server, as the operator's commands read it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kyrodb.config import Settings
from kyrodb.errors import ConfigError, Unavailable

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the port is, the API key to send, and certificates to trust besides the system's."""

    url: str
    api_key: str = ""
    trusted: Path | None = None

    def get(self, path: str) -> tuple[int, str]:
        """Status and body. Raises Unavailable when nobody answers."""
        request = urllib.request.Request(self.url + path)  # noqa: S310
        if self.api_key:
            request.add_header("x-api-key", self.api_key)
        try:
            with self._opener().open(request, timeout=TIMEOUT_S) as response:
                return response.status, response.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(f"{self.url}{path}: {reason}") from error

    def get_json(self, path: str) -> tuple[int, Any]:
        """Status and parsed body, None when it is no JSON. Raises Unavailable."""
        status, body = self.get(path)
        try:
            return status, json.loads(body)
        except ValueError:
            return status, None

    def _opener(self) -> urllib.request.OpenerDirector:
        # A proxy of the environment is for the world outside, not for a server one looks after.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=str(self.trusted) if self.trusted else None)
            # The certificate is for the name clients use, which need not be the address used here.
            context.check_hostname = False
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)


def checked_url(url: str) -> str:
    """`url` without a slash at its end. Raises ConfigError for what is no http or https address."""
    if not url.startswith(("http://", "https://")) or len(url.split("//", 1)[1]) == 0:
        raise ConfigError(f"--url {url!r}: must begin with http:// or https://")
    return url.rstrip("/")


def endpoint_of(settings: Settings, api_key: str = "") -> Endpoint:
    """The port as these settings have it, on this machine."""
    server = settings.server
    host = server.observability_host.strip("[]")
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if server.tls.http == "off" else "https"
    trusted = server.tls.cert_path if scheme == "https" else None
    return Endpoint(f"{scheme}://{shown}:{server.observability_port}", api_key, trusted)
