"""SIGUSR1: seal the hot tier now, as FlushHotTier with force does. For a tool on the same machine without a key."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from kyrodb.engine.engine import Engine
from kyrodb.errors import KyroError

_log: Final = logging.getLogger(__name__)


class SealRequests:
    """One seal at a time; a signal during one asks for another, so that what came meanwhile is sealed too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """What the signal calls."""
        self._wanted.set()

    async def run(self) -> None:
        """Seal whenever it is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                report = await asyncio.to_thread(self._engine.flush, force=True)
            except (KyroError, OSError) as error:
                _log.error("SIGUSR1: sealing failed: %s", error)
            else:
                _log.info("SIGUSR1: sealed %d documents in %.2f s", report.documents, report.duration_s)
