"""Only a real fault is unhealthy; everything else worth saying is degraded."""

from __future__ import annotations

import pytest

from pykyro.telemetry.health import Findings, HealthStatus, Phase, Verdict, readiness, verdict

SERVING = Phase.SERVING


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (Findings(Phase.STARTING), Verdict(HealthStatus.STARTING)),
        (Findings(Phase.STARTING, warnings=["w"]), Verdict(HealthStatus.STARTING)),
        (Findings(SERVING), Verdict(HealthStatus.HEALTHY)),
        (Findings(SERVING, warnings=["a", "b"]), Verdict(HealthStatus.DEGRADED, "a; b")),
        (Findings(SERVING, refusing_writes="disk full"), Verdict(HealthStatus.UNHEALTHY, "disk full")),
        (
            Findings(SERVING, refusing_writes="disk full", stalled="stuck", warnings=["a"]),
            Verdict(HealthStatus.UNHEALTHY, "stuck; disk full"),
        ),
        (Findings(Phase.DRAINING, warnings=["a"]), Verdict(HealthStatus.DEGRADED, "shutting down; a")),
        (Findings(Phase.STOPPED), Verdict(HealthStatus.UNHEALTHY, "the database is closed")),
    ],
)
def test_verdict(findings: Findings, expected: Verdict) -> None:
    assert verdict(findings) == expected
    assert verdict(findings).alive == (expected.status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED))


@pytest.mark.parametrize(
    ("findings", "requires_writes", "word"),
    [
        (Findings(SERVING), False, "ready"),
        (Findings(SERVING, warnings=["slow"]), True, "ready"),
        (Findings(SERVING, refusing_writes="disk full"), False, "read_only"),
        (Findings(SERVING, refusing_writes="disk full"), True, "not_ready"),
        (Findings(SERVING, stalled="stuck"), False, "not_ready"),
        (Findings(Phase.STARTING), False, "not_ready"),
        (Findings(Phase.DRAINING), False, "not_ready"),
        (Findings(Phase.STOPPED), False, "not_ready"),
    ],
)
def test_readiness(findings: Findings, requires_writes: bool, word: str) -> None:
    assert readiness(findings, requires_writes=requires_writes) == word
