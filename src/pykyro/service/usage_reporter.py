"""Usage of the tenants while the server runs: kept every second, exported every minute, shown at /usage."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Final

from pykyro.database.counts import KnownCounts
from pykyro.engine.engine import Engine
from pykyro.tenancy.usage import TenantUsage, UsageLedger, as_json, statement
from pykyro.tenancy.usage_file import UsageFile

_log: Final = logging.getLogger(__name__)

SAVE_EVERY_S: Final = 1.0
EXPORT_EVERY_S: Final = 60.0


class UsageReporter:
    """The counters of all tenants, over an open engine."""

    def __init__(self, engine: Engine, counts: KnownCounts | None = None) -> None:
        """Documents are those of `engine` and of all collections in `counts`. Continues from the counts of the last
        server. Raises OSError."""
        self.ledger = UsageLedger()
        self.fault = ""
        """Why usage is not being saved now."""
        self._engine = engine
        self._counts = counts
        self._keeping = threading.Lock()
        self._closed = False
        self._file = UsageFile(engine.filesystem, engine.directory, self.ledger)
        if warning := self._file.load():
            _log.warning("%s", warning)

    def report(self, tenant_id: str | None) -> dict[str, object]:
        """The body of /usage: of one tenant, or of all. From any thread."""
        rows = self._statement()
        if tenant_id is not None:
            rows = [row for row in rows if row.tenant_id == tenant_id]
        return as_json(rows, int(time.time()))

    async def run(self) -> None:
        """Save and export until cancelled. A disk that refuses is tried again a second later."""
        if self._counts is not None:
            await asyncio.to_thread(self._counts.count_the_rest)
        exported_s = -EXPORT_EVERY_S
        while True:
            now_s = time.monotonic()
            export = now_s - exported_s >= EXPORT_EVERY_S
            if await asyncio.to_thread(self._keep, export=export) and export:
                exported_s = now_s
            await asyncio.sleep(SAVE_EVERY_S)

    def close(self) -> None:
        """Save and export for the last time, before the engine is closed."""
        self._keep(export=True, at_shutdown=True)

    def _keep(self, *, export: bool, at_shutdown: bool = False) -> bool:
        with self._keeping:
            if self._closed:
                return False
            self._closed = at_shutdown
            try:
                self._file.save()
                if export:
                    self._file.export(self._statement(), int(time.time()), at_shutdown=at_shutdown)
            except OSError as error:
                self._failed(error)
                return False
            self.fault = ""
            return True

    def _failed(self, error: OSError) -> None:
        fault = f"usage is not being saved: {error.strerror or error}"
        if fault != self.fault:
            _log.error("%s", fault)
        self.fault = fault

    def _statement(self) -> list[TenantUsage]:
        documents = self._engine.tenant_documents()
        others = [] if self._counts is None else self._counts.by_name().values()
        return statement(
            self.ledger.counts(),
            documents,
            dimension=self._engine.options.dimension,
            elsewhere=[(each.dimension, each.tenants) for each in others],
        )
