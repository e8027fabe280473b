"""SIGUSR1: seal the hot tier now, as FlushHotTier with force does. For a tool on the same machine without a key."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from pykyro.engine.engine import Engine
from pykyro.model.errors import KyroError
from pykyro.server.signals import SignalledWork

_log: Final = logging.getLogger(__name__)


class SealRequests(SignalledWork):
    """Seals the hot tier of an engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    async def work(self) -> None:
        try:
            report = await asyncio.to_thread(self._engine.flush, force=True)
        except (KyroError, OSError) as error:
            _log.error("SIGUSR1: sealing failed: %s", error)
        else:
            _log.info("SIGUSR1: sealed %d documents in %.2f s", report.documents, report.duration_s)
