"""What is written about single calls: those that were slow, with a search's plan, and at level debug every one.

A line names the call by its request id: the client's own (metadata `x-request-id`) or one made up here. Neither
documents nor keys are ever written; a plan holds numbers and the names of steps only.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Final

from pykyro.model.limits import REQUEST_ID_CHARS_MAX, SLOW_QUERY_LINES_PER_S
from pykyro.service.access import Call
from pykyro.telemetry.logs import fields

REQUEST_ID_KEY: Final = "x-request-id"
"""Metadata of a call, and trailing metadata of one that failed inside: the id that the log names it by."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class RunningCall:
    """A call while it is being served. Whatever serves it may say how, in `plan`; `code` is how it ended."""

    rpc: str
    context: Call
    plan: str = ""
    code: str = ""
    field: str = ""
    """What of the request the error is about that ended it, where that is known."""
    _request_id: str = ""

    @property
    def request_id(self) -> str:
        """The client's id for the call, if it is fit for a log, else a new one."""
        if not self._request_id:
            self._request_id = _given_id(self.context) or os.urandom(8).hex()
        return self._request_id

    @property
    def peer(self) -> str:
        """Where the call comes from."""
        return self.context.peer()


RUNNING: Final[ContextVar[RunningCall | None]] = ContextVar("kyrodb_running_call", default=None)
"""The call on whose behalf code runs."""


class CallLog:
    """Decides which calls are written about. Used on the event loop.

    A call that is not slow need not be told, unless `wants_all` says so.
    """

    def __init__(self, slow_query_ms: int | None, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Calls of at least `slow_query_ms` milliseconds are slow, none when it is None."""
        self.slow_total = 0
        self.wants_all = partial(_log.isEnabledFor, logging.DEBUG)
        """Whether every call is written about."""
        self.set_slow(slow_query_ms)
        self._monotonic_s = monotonic_s
        self._second = 0
        self._written = 0
        self._left_out = 0

    def set_slow(self, slow_query_ms: int | None) -> None:
        """Take another threshold."""
        self.slow_ns = math.inf if slow_query_ms is None else slow_query_ms * 1e6
        """From this duration on a call is slow."""

    def ended(
        self, call: RunningCall | None, code: str, duration_ns: int, *, may_be_slow: bool = True
    ) -> None:
        """A call, or the answer to a message of a stream, is done. A stream as a whole cannot be slow."""
        if may_be_slow and duration_ns >= self.slow_ns:
            self.slow_total += 1
            self._slow(call, code, duration_ns)
        elif self.wants_all():
            _log.debug("call", extra=_described(call, code, duration_ns))

    def _slow(self, call: RunningCall | None, code: str, duration_ns: int) -> None:
        second = int(self._monotonic_s())
        if second != self._second:
            self._second, self._written = second, 0
        # When everything is slow, writing about all of it would make it slower.
        if self._written >= SLOW_QUERY_LINES_PER_S:
            self._left_out += 1
            return
        self._written += 1
        more = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        _log.warning("slow query", extra=_described(call, code, duration_ns, **more))


def _described(call: RunningCall | None, code: str, duration_ns: int, **more: object) -> dict[str, object]:
    known: dict[str, object] = {"code": code, "duration_ms": round(duration_ns / 1e6, 3)}
    if call is not None:
        known = {"rpc": call.rpc, **known, "request_id": call.request_id, "peer": call.peer}
        if call.plan:
            known["plan"] = call.plan
    return fields(**known, **more)


def _given_id(context: Call) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == REQUEST_ID_KEY and isinstance(value, str):
            fit = 0 < len(value) <= REQUEST_ID_CHARS_MAX and value.isascii() and value.isprintable()
            return value if fit else ""
    return ""
