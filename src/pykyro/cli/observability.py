"""The HTTP port of a server, as the operator's commands read it."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykyro.config import Settings
from pykyro.model.errors import ConfigError, Unavailable

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
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unavailable(f"{self.url}{path}: {self._reason(error)}") from error

    def get_json(self, path: str) -> tuple[int, Any]:
        """Status and parsed body, None when it is no JSON. Raises Unavailable."""
        status, body = self.get(path)
        try:
            return status, json.loads(body)
        except ValueError:
            return status, None

    def _reason(self, error: Exception) -> str:
        """What the error says, and the mistake it is likely to come from."""
        reason = getattr(error, "reason", error)
        text = str(reason) or type(reason).__name__
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"{text}: the certificate is out of date, or no authority that is trusted here signed it"
        if isinstance(reason, ssl.SSLError) and "CERTIFICATE_REQUIRED" in text:
            return f"{text}: the port asks for a client certificate (server.tls.http = mtls)"
        if isinstance(reason, ssl.SSLError):
            return f"{text}: the port does not use TLS (server.tls.http): write http://"
        if isinstance(reason, (http.client.HTTPException, ConnectionResetError)):
            return (
                f"there was no HTTP answer ({type(reason).__name__}): is this the gRPC port (the HTTP port is "
                f"that plus 1000 by default), or does it speak TLS (server.tls.http): https://?"
            )
        if isinstance(reason, ConnectionRefusedError):
            return (
                f"{text}: no server listens there; is the server started, and is this its server.http_port?"
            )
        return text

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
