"""The state of the running server as its HTTP endpoints and its Health and Metrics RPCs see it.

Written by the event loop that serves, read by any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from pykyro.config import Settings
from pykyro.database.collections import Collections
from pykyro.database.counts import KnownCounts
from pykyro.engine.engine import Engine
from pykyro.memory.budget import MemoryBudget
from pykyro.model.limits import STALL_S_MAX
from pykyro.model.requests import EngineStats
from pykyro.replication.follower import Follower
from pykyro.replication.leading import Leading
from pykyro.service.admission import Admission
from pykyro.service.call_log import CallLog
from pykyro.service.certificates import Validity
from pykyro.service.commits import Commits
from pykyro.service.connections import Connections
from pykyro.service.scheduled_backups import ScheduledBackups
from pykyro.service.tenant_quotas import TenantQuotas
from pykyro.service.unread_answers import UnreadAnswers
from pykyro.service.usage_reporter import UsageReporter
from pykyro.system.memory import allowed_bytes
from pykyro.telemetry import logs
from pykyro.telemetry.counters import Counters
from pykyro.telemetry.health import Findings, Phase, Verdict, readiness, verdict
from pykyro.telemetry.process import ProcessProbe
from pykyro.telemetry.slo import SloReport, judge
from pykyro.tenancy.key_ring import KeyRing

HEARTBEAT_S: Final = 1.0
"""How often the event loop says that it is alive."""


_TROUBLES_MAX: Final = 10
"""Collections in trouble that are named."""


class ServerState:
    """Phase, counters, engine and heartbeat in one place."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counters = Counters()
        self.calls = CallLog(settings.logging.slow_query_ms)
        self.process = ProcessProbe(settings.persistence.data_dir)
        self.memory = MemoryBudget(settings.memory.limit_bytes(allowed_bytes()))
        """What may be held in memory, and by whom it is."""
        self.admission = Admission(self.memory)
        self.unread = UnreadAnswers(self.memory, settings.server.port)
        self.phase = Phase.STARTING
        self.engine: Engine | None = None
        """That of the collection `default`."""
        self.collections: Collections | None = None
        self.counts: KnownCounts | None = None
        self.quotas: TenantQuotas | None = None
        self.recovery_s = 0.0
        self.commits: Commits | None = None
        self.keys = KeyRing(())
        """What the HTTP port opens to, while auth is on."""
        self.usage_reporter: UsageReporter | None = None
        """Usage of the tenants; None without auth and while there is no open engine."""
        self.backups: ScheduledBackups | None = None
        """Those the server takes by itself, if it does."""
        self.leading: Leading | None = None
        """The archive that this server leads, if it does."""
        self.follower: Follower | None = None
        """The archive that it follows, if it does."""
        self.connections: Connections | None = None
        """Those to the ports, once both are served."""
        self.certificates: Callable[[], Sequence[Validity]] = tuple
        """Until when those in force are good; none without TLS."""
        self.config_fault = ""
        """Why the last reload of the configuration was refused."""
        self._beat_s = time.monotonic()

    def opened(self, engine: Engine, duration_s: float, collections: Collections | None = None) -> None:
        """The database is recovered, which took so long."""
        self.recovery_s = duration_s
        engine.watch_syncs(self.counters.wal_syncs.observe)
        self.engine, self.collections = engine, collections
        if collections is not None:
            self.counts = KnownCounts(collections)
            self.quotas = TenantQuotas(engine, self.counts)
            collections.on_open = lambda opened: opened.watch_syncs(self.counters.wal_syncs.observe)

    def beat(self) -> None:
        """The event loop is alive."""
        self._beat_s = time.monotonic()

    def stats(self) -> EngineStats | None:
        """The engine's numbers; None while there is no open engine."""
        return self.engine.stats() if self.engine is not None else None

    def findings(self, stats: EngineStats | None) -> Findings:
        """What `verdict` and `readiness` decide from."""
        return Findings(
            phase=self.phase,
            refusing_writes=stats.refusing_writes if stats is not None else "",
            stalled=self._stalled(),
            warnings=self._warnings(stats),
            follows=self.follower is not None,
        )

    def verdict(self, stats: EngineStats | None) -> Verdict:
        """Whether the server is well."""
        return verdict(self.findings(stats))

    def readiness(self) -> str:
        """Whether the server should be sent requests."""
        return readiness(
            self.findings(self.stats()), requires_writes=self.settings.server.ready_requires_writes
        )

    def slo(self) -> SloReport:
        """The service level objectives and where they stand."""
        recall = self.engine.recall.report().overall if self.engine is not None else None
        return judge(self.counters, self.settings.slo, 1.0 if recall is None else recall.high)

    def certificate_warnings(self) -> list[str]:
        """Which certificates have ended or will soon."""
        now_s = time.time()
        return [warning for one in self.certificates() if (warning := one.warning(now_s))]

    def _stalled(self) -> str:
        if self.phase is not Phase.SERVING:
            return ""
        silent_s = time.monotonic() - self._beat_s
        if silent_s > STALL_S_MAX:
            return f"the event loop has not moved for {silent_s:.0f} s"
        return ""

    def _warnings(self, stats: EngineStats | None) -> list[str]:
        warnings = list(self.engine.recovered.warnings) if self.engine is not None else []
        if stats is not None and stats.disk_warning:
            warnings.append(stats.disk_warning)
        if stats is not None and stats.capacity_warning:
            warnings.append(stats.capacity_warning)
        if stats is not None and stats.room_warning:
            warnings.append(stats.room_warning)
        if stats is not None and stats.cold_tier_warning:
            warnings.append(stats.cold_tier_warning)
        if self.config_fault:
            warnings.append(self.config_fault)
        if log_fault := logs.fault():
            warnings.append(f"the log cannot be written: {log_fault}")
        warnings += self.certificate_warnings()
        if self.connections is not None and self.connections.fault:
            warnings.append(self.connections.fault)
        if self.usage_reporter is not None and self.usage_reporter.fault:
            warnings.append(self.usage_reporter.fault)
        if stats is not None and stats.wal_writes_failed:
            warnings.append(f"{stats.wal_writes_failed} failed WAL writes observed")
        if self.engine is not None and self.engine.recall.warning:
            warnings.append(self.engine.recall.warning)
        if stats is not None and stats.maintenance_failure:
            warnings.append(f"background work is failing: {stats.maintenance_failure}")
        if self.collections is not None:
            troubles = list(self.collections.troubles().items())
            warnings += [f"collection {name!r}: {text}" for name, text in troubles[:_TROUBLES_MAX]]
            if len(troubles) > _TROUBLES_MAX:
                warnings.append(f"{len(troubles) - _TROUBLES_MAX} more collections are in trouble")
        if self.backups is not None and self.backups.last_failure:
            warnings.append(f"the last scheduled backup failed: {self.backups.last_failure}")
        if self.leading is not None and self.leading.warning:
            warnings.append(self.leading.warning)
        if memory_warning := self.memory.status().warning():
            warnings.append(memory_warning)
        commit_s = self.commits.longest_group_s() if self.commits is not None else 0.0
        if commit_s > STALL_S_MAX:
            warnings.append(f"a group of writes has been under way for {commit_s:.0f} s")
        return warnings + self.slo().reasons
