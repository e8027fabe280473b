"""The HTTP port: /health, /ready, /slo, /metrics, /usage, and REST below /v1/.

It has a thread and an event loop of its own, so that it answers while the database recovers and when the gRPC
side hangs, and it is bound before recovery starts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from pykyro.model.errors import ConfigError
from pykyro.model.limits import OPEN_CONNECTIONS_MAX, REST_REQUESTS_SHARE
from pykyro.service.measurements import families
from pykyro.service.server_state import ServerState
from pykyro.telemetry.exposition import CONTENT_TYPE, render
from pykyro.telemetry.health import HealthStatus
from pykyro.telemetry.window import WINDOW_S
from pykyro.tenancy.api_keys import ApiKey
from pykyro.transport.http.access import CONSOLE, DASHBOARD, KEY_IN_SCOPE, KeyGate
from pykyro.transport.http.console import Console
from pykyro.transport.http.dashboard import Dashboard
from pykyro.transport.http.deadline import bounded
from pykyro.transport.http.doors import REST_PATHS, Doors, withheld
from pykyro.transport.listening import address_of, listen

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log: Final = logging.getLogger(__name__)
_STOP_TIMEOUT_S: Final = 1.0


def application(server_state: ServerState) -> Starlette:
    """The endpoints over `server_state`. Plain functions run in threads, so a slow one holds up no other."""

    def health(request: Request) -> Response:
        verdict = server_state.verdict(server_state.stats())
        body: dict[str, object] = {"status": verdict.status.value}
        if verdict.status in (HealthStatus.DEGRADED, HealthStatus.UNHEALTHY):
            body["reason"] = verdict.reason
        body["uptime_seconds"] = int(server_state.process.uptime_s)
        return _json(body, 200 if verdict.alive else 503)

    def ready(request: Request) -> Response:
        status = server_state.readiness()
        is_ready = status != "not_ready"
        body: dict[str, object] = {"ready": is_ready, "status": status}
        if server_state.follower is not None:
            body |= server_state.follower.lag()
        return _json(body, 200 if is_ready else 503)

    def slo(request: Request) -> Response:
        return _json(_slo(server_state))

    def metrics(request: Request) -> Response:
        # Content type as a header: the media type would get a second charset.
        return Response(render(families(server_state)), headers={"content-type": CONTENT_TYPE})

    def usage(request: Request) -> Response:
        if not server_state.settings.auth.enabled:
            return _json({"error": "usage tracking disabled (auth.enabled=false)"}, 404)
        wanted = request.query_params.get("scope", "self")
        if wanted.lower() not in ("self", "all"):
            return _json({"error": f"invalid scope '{wanted}': expected 'self' or 'all'"}, 400)
        key: ApiKey = request.scope[KEY_IN_SCOPE]
        everybody = wanted.lower() == "all"
        if everybody and not key.is_admin:
            return Response("forbidden", 403)
        if server_state.usage_reporter is None:
            return _json({"error": "the database is starting or has stopped"}, 503)
        return _json(server_state.usage_reporter.report(None if everybody else key.tenant_id))

    endpoints: dict[str, Callable[[Request], Response]] = {
        "/health": health,
        "/ready": ready,
        "/slo": slo,
        "/metrics": metrics,
        "/usage": usage,
    }
    if server_state.settings.server.dashboard:
        endpoints[DASHBOARD] = Dashboard().respond
    routes: list[BaseRoute] = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    if server_state.settings.server.dashboard:
        routes.append(Mount(CONSOLE.rstrip("/"), Console()))
    return Starlette(
        routes=routes,
        middleware=[Middleware(KeyGate, server_state)],
        exception_handlers={HTTPException: _empty},
    )


def _slo(server_state: ServerState) -> dict[str, object]:
    """The body of /slo."""
    report, objectives, totals = server_state.slo(), server_state.settings.slo, server_state.counters.totals
    return _recall(server_state) | {
        "slo_breaches": {name: bool(sentence) for name, sentence in report.breaches.items()},
        "current_metrics": {
            "p99_latency_ns": report.p99_latency_ns,
            "cache_hit_rate": report.lately.hit_rate,
            "error_rate": report.lately.error_rate,
            "availability": report.lately.availability,
        },
        "since_start": {
            "cache_hit_rate": totals.hit_rate,
            "error_rate": totals.error_rate,
            "availability": totals.availability,
        },
        "window_seconds": int(WINDOW_S),
        "slo_thresholds": {
            "p99_latency_ns": objectives.p99_latency_ns,
            # 0 where none is asked for: whatever there is is enough.
            "min_cache_hit_rate": objectives.cache_hit_rate or 0.0,
            "max_error_rate": objectives.error_rate,
            "min_availability": objectives.availability,
            "min_samples": objectives.min_samples,
        },
    }


def _recall(server_state: ServerState) -> dict[str, object]:
    """The sampled recall, once there is any."""
    recall = server_state.engine.recall.report().overall if server_state.engine is not None else None
    if recall is None:
        return {}
    described: dict[str, object] = {
        "estimate": recall.mean,
        "low": recall.low,
        "high": recall.high,
        "samples": recall.samples,
    }
    if server_state.settings.slo.recall is not None:
        described["min_recall"] = server_state.settings.slo.recall
    return {"recall": described}


class HttpServer:
    """Serves an application on a thread of its own."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        connections_max: int = OPEN_CONNECTIONS_MAX,
        rest: Doors | None = None,
    ) -> None:
        self.rest = rest
        """What serves the paths of REST, if it is served."""
        config = uvicorn.Config(
            # A line for each bad request would let any client fill the log.
            app,
            log_config=None,
            log_level="error",
            lifespan="off",
            http=bounded(connections_max, None if rest is None else REST_PATHS),
            ws="none",
        )
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
        )

    @property
    def host(self) -> str:
        """The address it listens on, also when a name was asked for."""
        return str(self._listener.getsockname()[0])

    @property
    def port(self) -> int:
        """The port it listens on, also when any free one was asked for."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Return once requests are being answered."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.002)

    def stop(self) -> None:
        """Finish the current answers and close."""
        self._server.should_exit = True
        self._thread.join(_STOP_TIMEOUT_S)
        if self._thread.is_alive():
            # A client that does not read its answer, or has not finished its handshake, is not waited for, and what
            # uvicorn would say about the request that ends so is no error.
            logging.getLogger("uvicorn.error").disabled = True
            self._server.force_exit = True
            self._thread.join(_STOP_TIMEOUT_S)
        self._listener.close()


@contextlib.contextmanager
def serving_http(
    server_state: ServerState, tls: ssl.SSLContext | None = None, connections_max: int = OPEN_CONNECTIONS_MAX
) -> Iterator[HttpServer]:
    """The HTTP server of these settings, up, over TLS if given. Raises ConfigError when its port cannot be had."""
    server = server_state.settings.server
    server_socket = _listen(server.observability_host, server.observability_port)
    app, rest = _with_rest(server_state, connections_max)
    http = HttpServer(app, server_socket, tls, connections_max, rest)
    http.start()
    try:
        yield http
    finally:
        http.stop()


def _with_rest(server_state: ServerState, connections_max: int) -> tuple[ASGIApp, Doors | None]:
    """The whole application, and what serves REST if anything does."""
    app = application(server_state)
    if reason := withheld(server_state.settings):
        if server_state.settings.server.rest:
            _log.warning("REST is not served: %s", reason)
        return app, None
    doors = Doors(app, server_state, max(1, int(REST_REQUESTS_SHARE * connections_max)))
    return doors, doors


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(address_of(host, port))
    except OSError as error:
        raise ConfigError(
            f"server.http_port: cannot listen on {host}:{port}: {error.strerror or error}"
        ) from error


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")


def _empty(request: Request, error: Exception) -> Response:
    """Unknown paths and methods: the status alone."""
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers=error.headers)
