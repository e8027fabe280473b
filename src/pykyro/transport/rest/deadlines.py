"""The deadline of a request, from its header: as that of a gRPC call, until the answer begins."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import DURATION_MAX
from pykyro.transport.rest.problems import Problem

REQUEST_TIMEOUT: Final = "request-timeout"
PASSED: Final = 504
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def deadline_of(headers: Mapping[str, str]) -> float | None:
    """Until when a request has time, by `time.monotonic`; None without the header. Raises InvalidArgument."""
    text = headers.get(REQUEST_TIMEOUT)
    if text is None:
        return None
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not 0 < seconds <= DURATION_MAX:
        raise InvalidArgument(
            f"{REQUEST_TIMEOUT} must be seconds > 0 and <= {DURATION_MAX:g}, such as 2.5; got {text[:40]!r}",
            field=REQUEST_TIMEOUT,
        )
    return time.monotonic() + seconds


@contextlib.asynccontextmanager
async def within(ends_s: float | None) -> AsyncIterator[None]:
    """Cancel what runs inside when the moment comes. Raises Problem then."""
    left_s = None if ends_s is None else ends_s - time.monotonic()
    try:
        async with asyncio.timeout(left_s) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        text = f"the time that {REQUEST_TIMEOUT} gave has passed; a write may have been stored all the same"
        raise Problem("DEADLINE_EXCEEDED", text, status=PASSED) from None
