"""HTTP connections that have to come to the point: uvicorn waits for the headers of a request for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from kyrodb.limits import HTTP_REQUEST_S_MAX


class DeadlineProtocol(H11Protocol):
    """Closes a connection on which no whole request came for HTTP_REQUEST_S_MAX since it opened or since the last."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def _expect_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HTTP_REQUEST_S_MAX, self._no_request_came)

    def _no_request_came(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering:
            self.transport.close()
