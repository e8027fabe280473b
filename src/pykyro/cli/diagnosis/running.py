"""The server that runs, by its own account: /health, /ready, /slo and /metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from pykyro.cli.diagnosis.cures import DISK, OBJECTIVE_CURES, SEE_REASON, cure
from pykyro.cli.diagnosis.finding import Finding, note, ok, wrong
from pykyro.cli.observability import Endpoint, Samples, parse_exposition
from pykyro.telemetry.catalogue import process

TOPIC: Final = "server"
_BACKUP_AGE_S: Final = 26 * 3600
_KEY: Final = "put an API key of the server into KYRODB_API_KEY"


def check_server(endpoint: Endpoint) -> Iterator[Finding]:
    """Raises Unavailable when no server answers."""
    status, body = endpoint.get_json("/health")
    if status == 401:
        yield note(TOPIC, f"{endpoint.url}/health asks for a key", _KEY)
        return
    yield from _health(status, body)
    _, ready = endpoint.get_json("/ready")
    if isinstance(ready, dict) and ready.get("status") == "read_only":
        yield note(TOPIC, "/ready: the server answers reads and refuses writes", "see the reason of /health")
    yield from _objectives(endpoint)
    yield from _measurements(endpoint)


def _health(status: int, body: Any) -> Iterator[Finding]:
    if not isinstance(body, dict) or "status" not in body:
        yield wrong(TOPIC, f"/health answers {status} and no JSON", "check that KyroDB listens there")
        return
    word, reason = body["status"], body.get("reason", "")
    text = f"/health is {status}, {word}" + (f": {reason}" if reason else "")
    if status != 200:
        advice = (
            "wait for recovery to end; the server's log shows its progress"
            if word == "starting"
            else cure(reason, otherwise=DISK)
        )
        yield wrong(TOPIC, text, advice)
    elif word == "degraded":
        yield note(TOPIC, text, cure(reason, otherwise=SEE_REASON))
    else:
        yield ok(TOPIC, f"{text}, up for {body.get('uptime_seconds', 0)} s")


def _objectives(endpoint: Endpoint) -> Iterator[Finding]:
    status, slo = endpoint.get_json("/slo")
    if status == 401:
        yield note(TOPIC, f"{endpoint.url}/slo and /metrics ask for a key", _KEY)
        return
    missed = [name for name, breached in slo["slo_breaches"].items() if breached]
    if missed:
        values = ", ".join(_measured(name, value) for name, value in slo["current_metrics"].items())
        advice = "; ".join(dict.fromkeys(OBJECTIVE_CURES.get(name, SEE_REASON) for name in missed))
        yield note(
            TOPIC, f"objectives missed in the last five minutes: {', '.join(missed)} ({values})", advice
        )


def _measured(name: str, value: float) -> str:
    """As people read it: latencies in milliseconds, shares in per cent."""
    if name.endswith("_ns"):
        return f"{name.removesuffix('_ns')} = {value / 1e6:.2f} ms"
    return f"{name} = {100 * value:.2f} %"


def _measurements(endpoint: Endpoint) -> Iterator[Finding]:
    status, text = endpoint.get("/metrics")
    if status != 200:
        return
    samples = parse_exposition(text)
    if samples.get(process.RECOVERY_UNCLEAN):
        yield note(
            TOPIC,
            "the previous server process crashed or was killed",
            "dmesg shows whether memory ran out; no acknowledged write was lost",
        )
    if samples.get(process.LOG_LINES_LOST_TOTAL):
        yield wrong(
            "log",
            f"{samples.get(process.LOG_LINES_LOST_TOTAL):.0f} lines could not be written",
            "free space there, or read the pipe it writes to; /health has the reason",
        )
    used, limit = samples.get(process.MEMORY_USED), samples.get(process.MEMORY_LIMIT)
    if limit and used > 0.9 * limit:
        yield wrong(
            "memory",
            f"the server uses {used / 2**30:.1f} of {limit / 2**30:.1f} GiB",
            "give it more memory, or lower hnsw.max_elements, hnsw.m or cache.capacity",
        )
    yield from _backups(samples)


def _backups(samples: Samples) -> Iterator[Finding]:
    if not samples.has(process.BACKUP_NEWEST_TIMESTAMP):
        yield note(
            "backup",
            "the server has found no backup",
            "set backup.dir, and take backups: kyrodb_backup create, or backup.interval_secs",
        )
        return
    hours = (time.time() - samples.get(process.BACKUP_NEWEST_TIMESTAMP)) / 3600
    if hours * 3600 > _BACKUP_AGE_S:
        yield wrong("backup", f"the newest backup is {hours:.0f} hours old", "kyrodb_backup create")
    else:
        yield ok("backup", f"the newest backup is {hours:.1f} hours old")
