"""SIGHUP: read the configuration again and apply what can change while the server runs.

A configuration that cannot be read or applied changes nothing and makes /health degraded until one can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kyrodb.config import Loaded, Settings, changed_keys, reloaded
from kyrodb.engine.engine import Engine
from kyrodb.errors import ConfigError, KyroError
from kyrodb.observe import logs
from kyrodb.observe.health import Phase
from kyrodb.server.protection import Protection, Replacement
from kyrodb.server.signals import SignalledWork
from kyrodb.server.systemd import notify_ready, notify_reloading
from kyrodb.server.vitals import Vitals

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a reload read: the settings to put in force, those that were wanted, and what protects the server."""

    settings: Settings
    wanted: Settings
    protection: Replacement


class Reload(SignalledWork):
    """Reads the configuration and puts it in force."""

    def __init__(
        self, vitals: Vitals, engine: Engine, protection: Protection, load_again: Callable[[], Loaded]
    ) -> None:
        super().__init__()
        self._vitals = vitals
        self._engine = engine
        self._protection = protection
        self._load_again = load_again

    async def work(self) -> None:
        notify_reloading()
        reading = await asyncio.to_thread(self._read)
        if reading is not None:
            self._apply(reading)
        if self._vitals.phase is Phase.SERVING:
            notify_ready(self._vitals.config_fault or "configuration reloaded")

    def _read(self) -> _Reading | None:
        """Everything anew, None when any of it cannot be used."""
        try:
            wanted = self._load_again().settings
            settings = reloaded(self._vitals.settings, wanted)
            protection = self._protection.read(settings)
            # Also when nothing changed: the file may have been moved away by a log rotation.
            logs.configure(settings.logging)
        except (KyroError, OSError) as error:
            _log.error("configuration reload refused: %s", error)
            self._vitals.config_fault = f"configuration reload refused: {_public(error)}"
            return None
        return _Reading(settings, wanted, protection)

    def _apply(self, reading: _Reading) -> None:
        before, settings = self._vitals.settings, reading.settings
        if settings.hnsw.ef_search != before.hnsw.ef_search:
            self._engine.ef_search = settings.hnsw.ef_search
        self._vitals.calls.set_slow(settings.logging.slow_query_ms)
        self._protection.replace(reading.protection)
        self._vitals.keys = reading.protection.keys
        self._vitals.settings = settings
        self._vitals.config_fault = ""
        applied = [key.name for key in changed_keys(before, settings)]
        waiting = [key.name for key in changed_keys(settings, reading.wanted)]
        _log.info("configuration reloaded; changed: %s", ", ".join(applied) or "nothing")
        if waiting:
            _log.warning("changed, but only a restart applies it: %s", ", ".join(waiting))


def _public(error: Exception) -> str:
    """The error as /health, which may be open to everybody, shows it: not which tenants there are."""
    if isinstance(error, ConfigError):
        hidden = "auth.api_keys_file: cannot be used; the server's log says why"
        faults = [hidden if fault.startswith("auth.api_keys_file:") else fault for fault in error.faults]
        return "; ".join(dict.fromkeys(faults))
    return str(error)
