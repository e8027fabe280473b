"""A server with TLS and certificates that have ended, or soon will: its start, its reload, /health and /metrics."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.corner import DIMENSION
from tests.contract.test_tls import CA, chain_of, issue
from tests.operations.observed import metric
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server
from tests.server.test_lifecycle import failed_start

DAY = datetime.timedelta(days=1)


def put(directory: Path, begins: datetime.timedelta, ends: datetime.timedelta) -> None:
    now = datetime.datetime.now(datetime.UTC)
    certificate = CA.issue_cert("localhost", not_before=now + begins, not_after=now + ends)
    (directory / "server.pem").write_bytes(chain_of(certificate))
    (directory / "server.key").write_bytes(certificate.private_key_pem.bytes())


def settings(directory: Path) -> dict[str, object]:
    return {
        "hnsw__dimension": DIMENSION,
        "server__tls__enabled": "true",
        "server__tls__cert_path": directory / "server.pem",
        "server__tls__key_path": directory / "server.key",
        "server__tls__ca_cert_path": directory / "ca.pem",
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "tls"
    directory.mkdir()
    issue(directory, CA, "localhost")
    return directory


@pytest.fixture
def server(files: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, **settings(files)) as running:
        yield running


def reload(server: RunningServer, says: str) -> str:
    """What /health says when the log says that it has been read."""
    before = server.log.count(says)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log.count(says) > before)
    wait_until(lambda: server.http_json("/health")["status"] != "starting")
    return str(server.http_json("/health").get("reason", ""))


@pytest.mark.parametrize(("begins", "ends", "says"), [(-9, -2, "expired on"), (2, 9, "is not valid before")])
def test_a_start_is_refused(tmp_path: Path, files: Path, begins: int, ends: int, says: str) -> None:
    put(files, begins * DAY, ends * DAY)
    log = failed_start(tmp_path, **settings(files))
    assert f"Error: server.tls.cert_path: {files / 'server.pem'}: " in log
    assert says in log


def test_a_reload_keeps_the_old_one_and_says_when_the_new_one_ends(
    server: RunningServer, files: Path
) -> None:
    sample = 'tls_certificate_remaining_seconds{setting="server.tls.cert_path"}'
    long_s = metric(server, sample)
    assert long_s > 14 * 86_400
    assert server.http_json("/health")["status"] == "healthy"

    put(files, -9 * DAY, -2 * DAY)
    assert "expired on" in reload(server, "configuration reload refused")
    assert metric(server, sample) == pytest.approx(long_s, abs=300)

    put(files, -DAY, 3 * DAY)
    assert "expires on" in reload(server, "configuration reloaded")
    assert metric(server, sample) == pytest.approx(3 * 86_400, abs=600)
    wait_until(lambda: "WARN  pykyro.service.certificates" in server.log)

    issue(files, CA, "localhost")
    assert reload(server, "configuration reloaded") == ""


def test_one_that_ends_while_the_server_runs_is_said_and_no_reason_for_a_restart(
    server: RunningServer, files: Path
) -> None:
    for seconds in (3, 12, 48):
        # A machine that is busy may read it when it has ended already, and then it is refused.
        put(files, -DAY, datetime.timedelta(seconds=seconds))
        if "refused" not in reload(server, "configuration reload"):
            break
    wait_until(lambda: "expired on" in server.http_json("/health").get("reason", ""))
    answer = server.http("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "refused" not in answer.json()["reason"]
    assert metric(server, 'tls_certificate_remaining_seconds{setting="server.tls.cert_path"}') < 0
    wait_until(lambda: "ERROR pykyro.service.certificates" in server.log)
