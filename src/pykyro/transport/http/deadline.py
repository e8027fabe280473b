"""HTTP connections that have to come to the point: uvicorn waits for a request for ever, whatever its size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pykyro.model.limits import HTTP_REQUEST_BYTES_MAX, HTTP_REQUEST_S_MAX, OPEN_CONNECTIONS_MAX

CONNECTION_IN_SCOPE: Final = "kyrodb.connection"
"""Where the connection of a request is found."""

_HEADER_BYTES: Final = 4
"""Of a header beside its name and its value."""


class DeadlineProtocol(HttpToolsProtocol):
    """Closes a connection on which no whole request came for HTTP_REQUEST_S_MAX since it opened or since the last,
    and refuses requests of more than HTTP_REQUEST_BYTES_MAX. Of `connections_max` connections the one that waits
    longest makes room for another; while all are being answered, the new one is closed."""

    connections_max = OPEN_CONNECTIONS_MAX
    body_paths: str | None = None
    """How the paths begin that read their bodies, and bound them, by themselves."""
    on_lost: Callable[[], object] | None = None
    """Told when the connection is lost; whoever answers a request sets it for so long."""
    head_bytes = 0
    """Of the address and the headers of the request that is coming in."""
    _reads_body = False
    _deadline: asyncio.TimerHandle | None = None
    _request_bytes = 0
    """Of the request that is coming in."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.connections_max and not self._make_room():
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._expect_request()

    def _make_room(self) -> bool:
        """Let go of the connection on which a request has been waited for longest, if on any."""
        waiting = [
            one for one in self.connections if isinstance(one, DeadlineProtocol) and not one._answering()
        ]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda one: one._deadline.when() if one._deadline is not None else 0.0)
        self.connections.discard(oldest)
        oldest.transport.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    @property
    def takes_more(self) -> bool:
        """Whether what is sent now need not wait for what was sent before."""
        return not self.flow.write_paused

    def abort(self) -> None:
        """End the connection, whatever is under way."""
        self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reads_body = False
        self.head_bytes = 0
        self.scope[CONNECTION_IN_SCOPE] = self  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self.head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.head_bytes += len(name) + len(value) + _HEADER_BYTES

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._reads_body = self.body_paths is not None and self.scope["path"].startswith(self.body_paths)

    def data_received(self, data: bytes) -> None:
        self._request_bytes += len(data)
        super().data_received(data)
        if self._reads_body:
            return
        if self._request_bytes > HTTP_REQUEST_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response(f"The request exceeds {HTTP_REQUEST_BYTES_MAX} bytes.")

    def on_message_complete(self) -> None:
        self._request_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def _expect_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HTTP_REQUEST_S_MAX, self._no_request_came)

    def _no_request_came(self) -> None:
        if not self._answering():
            if self.transport.get_write_buffer_size():
                # Its client has not even taken the last answer.
                self.transport.abort()
            self.transport.close()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


def bounded(connections_max: int, body_paths: str | None = None) -> type[DeadlineProtocol]:
    """The protocol of a server that holds so many connections at most, whose paths that begin so read their bodies by
    themselves."""
    return type(
        "BoundedProtocol",
        (DeadlineProtocol,),
        {"connections_max": connections_max, "body_paths": body_paths},
    )
