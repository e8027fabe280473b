"""What must hold after every step: memory, the probe, what was acknowledged, and that health tells the truth."""

from __future__ import annotations

import random
import time
from typing import Any, Final

import grpc
import httpx
from tests.patience import PATIENCE_S
from tests.siege.documents import Recipe
from tests.siege.finding import Finding
from tests.siege.lawful import check_documents, request_of
from tests.siege.session import TENANTS, Siege, auth

MEMORY_SHARE_MAX: Final = 1.15
"""Of the limit, at every moment of a step."""
SAMPLED: Final = 24
_NUMBER: Final = 900_001
_WRITE_S: Final = 10.0
"""A write that takes longer waits, which health must say."""
_HEALTH_TRIES: Final = 20
_BETWEEN_S: Final = 0.5
_SAYS_REFUSED: Final = ("refused is a write", "writes are refused", "writes wait")


def judge(siege: Siege, rng: random.Random) -> None:
    """Raises Finding when something does not hold."""
    check_alive(siege)
    check_memory(siege)
    siege.probe.check(siege.quiet_ms)
    check_health(siege)
    if siege.without_hint:
        raise Finding("hint", siege.without_hint)
    keys = siege.documents.keys()
    check_documents(siege, rng.sample(keys, min(SAMPLED, len(keys))))
    check_memory(siege)
    check_alive(siege)


def check_alive(siege: Siege) -> None:
    if siege.server.process.poll() is not None:
        check_memory(siege)  # it may be the watch that ended it
        raise Finding(
            "died", f"the server ended with {siege.server.process.returncode}\n{siege.server.log[-3000:]}"
        )


def check_memory(siege: Siege) -> None:
    """The most there was since the last look."""
    peak, most = siege.watch.take_peak(), MEMORY_SHARE_MAX * siege.limit_bytes
    siege.peak_share = max(siege.peak_share, peak / siege.limit_bytes)
    if peak > most:
        raise Finding(
            "memory",
            f"{peak / 2**20:.0f} MiB resident, {peak / siege.limit_bytes:.2f} of the limit "
            f"({siege.limit_bytes >> 20} MiB); parts: {parts(siege)}",
        )


def parts(siege: Siege) -> str:
    """The parts of the memory as /metrics tells them, for the reader of a finding."""
    try:
        lines = siege.server.http("/metrics").text.splitlines()
    except httpx.HTTPError as error:
        return f"unknown, {error}"
    return ", ".join(line for line in lines if line.startswith("kyrodb_memory_part_bytes"))


def check_health(siege: Siege) -> None:
    """Health says so when a write is refused or waits, and does not say so when it is taken.

    A state may change between the write and the look, so that either is a lie only when it is told every time.
    """
    lie = ""
    for _ in range(_HEALTH_TRIES):
        fault = write_fault(siege)
        status, reason = health(siege)
        said = [words for words in _SAYS_REFUSED if words in reason]
        if fault and status == "healthy":
            lie = f"a write ends with {fault}, and /health says healthy"
        elif fault and not reason:
            lie = f"a write ends with {fault}, and /health says {status} without a reason"
        elif not fault and (said or status == "unhealthy"):
            lie = f"writes are taken, and /health says {status}: {reason}"
        elif status != "healthy" and not reason:
            lie = f"/health says {status} without a reason"
        else:
            return
        time.sleep(_BETWEEN_S)
    raise Finding("health", lie)


def write_fault(siege: Siege) -> str:
    """How one small write ends, "" when it is acknowledged."""
    recipe, key = Recipe(siege.next_serial(), 1, 10), (TENANTS[0], _NUMBER)
    try:
        answer = siege.stub.Insert(request_of(_NUMBER, recipe), metadata=auth(TENANTS[0]), timeout=_WRITE_S)
    except grpc.RpcError as error:
        siege.documents.put(key, recipe, sure=False)
        return f"{error.code().name}: {error.details()}"
    siege.documents.put(key, recipe, sure=answer.success)
    return "" if answer.success else answer.error


def health(siege: Siege) -> tuple[str, str]:
    """The word and the reason. Raises Finding when there is no answer in PATIENCE_S."""
    try:
        body: dict[str, Any] = siege.server.http_json("/health")
    except (httpx.HTTPError, ValueError) as error:
        check_alive(siege)
        raise Finding("health", f"no answer in {PATIENCE_S:.0f} s: {error!r}") from error
    return str(body["status"]), str(body.get("reason", ""))
