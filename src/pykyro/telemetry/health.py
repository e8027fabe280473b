"""Whether the server is well: one verdict, for /health, /ready and the Health RPC alike.

Only a fault that a restart or an operator has to mend makes it unhealthy. An objective that is not met, or
something the operator should look at, makes it degraded: it goes on serving and must not be restarted for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Where the server is between its start and its end."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class HealthStatus(Enum):
    """The word /health answers with."""

    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known at one moment. Texts are empty when there is nothing to say."""

    phase: Phase
    refusing_writes: str = ""
    stalled: str = ""
    warnings: Sequence[str] = ()
    follows: bool = False
    """Whether another server leads, and this one takes no writes by its nature."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state and why. `alive` False asks for a restart or an operator (503)."""

    status: HealthStatus
    reason: str = ""

    @property
    def alive(self) -> bool:
        return self.status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED)


def verdict(findings: Findings) -> Verdict:
    """What the findings come to."""
    if findings.phase is Phase.STARTING:
        return Verdict(HealthStatus.STARTING)
    if findings.phase is Phase.STOPPED:
        return Verdict(HealthStatus.UNHEALTHY, "the database is closed")
    faults = [fault for fault in (findings.stalled, findings.refusing_writes) if fault]
    if faults:
        return Verdict(HealthStatus.UNHEALTHY, "; ".join(faults))
    notices = list(findings.warnings)
    if findings.phase is Phase.DRAINING:
        notices.insert(0, "shutting down")
    return Verdict(HealthStatus.DEGRADED, "; ".join(notices)) if notices else Verdict(HealthStatus.HEALTHY)


def readiness(findings: Findings, *, requires_writes: bool) -> str:
    """The word /ready answers with: "ready", "follower", "read_only" or, with 503, "not_ready"."""
    if findings.phase is not Phase.SERVING or findings.stalled:
        return "not_ready"
    if findings.refusing_writes:
        return "not_ready" if requires_writes else "read_only"
    if findings.follows:
        return "not_ready" if requires_writes else "follower"
    return "ready"
