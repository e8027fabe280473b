"""SIGHUP: read the configuration again and apply what can change while the server runs.

A configuration that cannot be read or applied changes nothing and makes /health degraded until one can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from kyrodb.config import Loaded, Settings, changed_keys
from kyrodb.engine.engine import Engine
from kyrodb.errors import ConfigError
from kyrodb.observe import logs
from kyrodb.observe.health import Phase
from kyrodb.server.systemd import notify_ready, notify_reloading
from kyrodb.server.vitals import Vitals

_log: Final = logging.getLogger(__name__)


class Reload:
    """One reload at a time; a signal during one asks for another."""

    def __init__(self, vitals: Vitals, engine: Engine, load_again: Callable[[], Loaded]) -> None:
        self._vitals = vitals
        self._engine = engine
        self._load_again = load_again
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """What the signal calls."""
        self._wanted.set()

    async def run(self) -> None:
        """Reload whenever it is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            notify_reloading()
            await asyncio.to_thread(self.reload)
            if self._vitals.phase is Phase.SERVING:
                notify_ready(self._vitals.config_fault or "configuration reloaded")

    def reload(self) -> None:
        """Read and apply, or keep everything as it is."""
        try:
            wanted = self._load_again().settings
            before = self._vitals.settings
            settings = _applied(before, wanted)
            # Also when nothing changed: the file may have been moved away by a log rotation.
            logs.configure(settings.logging)
        except (ConfigError, OSError) as error:
            self._vitals.config_fault = f"configuration reload refused: {error}"
            _log.error("%s", self._vitals.config_fault)
            return
        self._engine.ef_search = settings.hnsw.ef_search
        self._vitals.settings = settings
        self._vitals.config_fault = ""
        applied = [key.name for key in changed_keys(before, settings)]
        waiting = [key.name for key in changed_keys(settings, wanted)]
        _log.info("configuration reloaded; changed: %s", ", ".join(applied) or "nothing")
        if waiting:
            _log.warning("changed, but only a restart applies it: %s", ", ".join(waiting))


def _applied(before: Settings, wanted: Settings) -> Settings:
    """The settings in force after a reload."""
    logging_settings = before.logging.model_copy(
        update={
            "level": wanted.logging.level,
            "file": wanted.logging.file,
            "slow_query_ms": wanted.logging.slow_query_ms,
        }
    )
    hnsw = before.hnsw.model_copy(update={"ef_search": wanted.hnsw.ef_search})
    return before.model_copy(update={"slo": wanted.slo, "logging": logging_settings, "hnsw": hnsw})
