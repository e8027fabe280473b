"""SIGHUP: read the configuration again and apply what can change while the server runs.

A configuration that cannot be read or applied changes nothing and makes /health degraded until one can. Nothing it
names can hold a reload up for longer than RELOAD_S_MAX, nor the end of the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pykyro.config import Loaded, Settings, changed_keys, reloaded
from pykyro.engine.engine import Engine
from pykyro.model.errors import ConfigError, KyroError
from pykyro.model.limits import RELOAD_S_MAX
from pykyro.server.security import Replacement, Security
from pykyro.server.signals import SignalledWork
from pykyro.server.systemd import notify_ready, notify_reloading
from pykyro.service.server_state import ServerState
from pykyro.service.threads import in_thread_of_its_own
from pykyro.system.memory import allowed_bytes
from pykyro.telemetry import logs
from pykyro.telemetry.health import Phase
from pykyro.telemetry.log_file import Destination

_log: Final = logging.getLogger(__name__)

_HANGING_MAX: Final = 4
"""Reloads whose files never came, on a network file system that hangs: each keeps a thread."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """The result of a reload: the settings to apply, those of the configuration, the parts that protect the server,
    and the reopened log."""

    settings: Settings
    wanted: Settings
    security: Replacement
    log: Destination


class Reload(SignalledWork):
    """Reads the configuration and puts it in force."""

    def __init__(
        self,
        server_state: ServerState,
        engine: Engine,
        security: Security,
        load_again: Callable[[], Loaded],
    ) -> None:
        super().__init__()
        self._server_state = server_state
        self._engine = engine
        self._security = security
        self._load_again = load_again
        self._hanging: list[asyncio.Future[_Reading]] = []

    async def work(self) -> None:
        notify_reloading()
        try:
            self._apply(await self._reading())
        except (KyroError, OSError) as error:
            self._refuse(error)
        except Exception as error:
            _log.exception("configuration reload failed unexpectedly")
            self._refuse(error)
        if self._server_state.phase is Phase.SERVING:
            notify_ready(self._server_state.config_fault or "configuration reloaded")

    def _refuse(self, error: Exception) -> None:
        _log.error("configuration reload refused: %s", error)
        self._server_state.config_fault = f"configuration reload refused: {_public(error)}"

    async def _reading(self) -> _Reading:
        """The result or the error of `_read`. Raises TimeoutError when that takes too long."""
        self._hanging = [earlier for earlier in self._hanging if not earlier.done()]
        if len(self._hanging) >= _HANGING_MAX:
            raise TimeoutError(f"{_HANGING_MAX} earlier reloads still wait for a file to be read")
        reading = in_thread_of_its_own("reload", self._read)
        done, _ = await asyncio.wait({reading}, timeout=RELOAD_S_MAX)
        if not done:
            self._hanging.append(reading)
            reading.add_done_callback(_close_unused)
            raise TimeoutError(
                f"the files it names could not be read within {RELOAD_S_MAX:.0f} s; is one on a network file "
                "system that hangs?"
            )
        return reading.result()

    def _read(self) -> _Reading:
        """Read everything again, without applying it. Raises KyroError, OSError."""
        wanted = self._load_again().settings
        settings = reloaded(self._server_state.settings, wanted)
        security = self._security.read(settings)
        # Also when nothing changed: the file may have been moved away by a log rotation.
        return _Reading(settings, wanted, security, logs.destination(settings.logging))

    def _apply(self, reading: _Reading) -> None:
        before, settings = self._server_state.settings, reading.settings
        logs.install(settings.logging, reading.log)
        if settings.hnsw.ef_search != before.hnsw.ef_search:
            self._engine.ef_search = settings.hnsw.ef_search
        self._server_state.memory.limit_bytes = settings.memory.limit_bytes(allowed_bytes())
        self._server_state.calls.set_slow(settings.logging.slow_query_ms)
        self._security.replace(reading.security)
        self._server_state.keys = reading.security.keys
        self._server_state.settings = settings
        self._server_state.config_fault = ""
        applied = [key.name for key in changed_keys(before, settings)]
        waiting = [key.name for key in changed_keys(settings, reading.wanted)]
        _log.info("configuration reloaded; changed: %s", ", ".join(applied) or "nothing")
        if waiting:
            _log.warning("changed, but only a restart applies it: %s", ", ".join(waiting))


def _close_unused(reading: asyncio.Future[_Reading]) -> None:
    """A late result is not used; the log's file is not left open."""
    if not reading.cancelled() and reading.exception() is None:
        reading.result().log.close()


def _public(error: Exception) -> str:
    """The error as /health, which may be public, shows it: not which tenants there are."""
    if isinstance(error, ConfigError):
        hidden = "auth.api_keys_file: cannot be used; the server's log says why"
        faults = [hidden if fault.startswith("auth.api_keys_file:") else fault for fault in error.faults]
        return "; ".join(dict.fromkeys(faults))
    return str(error)
