"""kyrodb doctor advises what helps against each reason that /health can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.cli.diagnosis.cures import DISK, OBJECTIVE_CURES, SEE_REASON, cure
from pykyro.config.settings.observability import SloSettings
from pykyro.service.certificates import Validity
from pykyro.telemetry.counters import Counters
from pykyro.telemetry.slo import judge


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (
            "60 of 480 connections were closed, those that were idle longest (60 since the start)",
            "Hostile clients",
        ),
        (
            "the process has opened all of the 256 files it may open: connections are being closed",
            "LimitNOFILE=",
        ),
        (
            "the log cannot be written: /var/log/k.log: No space left on device",
            "free space where the log goes",
        ),
        ("the last scheduled backup failed: ended with status 1", "A backup failed"),
        ("usage is not being saved: Permission denied", "correct permissions"),
        (
            "memory is short, refused is writes for 3 s: 900 MiB of memory.limit = 1000 MiB are used (graphs 8 MiB)",
            "memory.limit",
        ),
        (
            "searches find 1.1% of the true results, at most 2.3% (512 searches were sampled)",
            "hnsw.ef_search",
        ),
        ("a group of writes has been under way for 31 s", "read dmesg"),
        ("background work is failing: segment build was killed by signal 9", "keeps trying"),
        ("P99 latency 3.00 ms exceeds SLO of 1 ms", "P99 latency is high"),
        ("Cache hit rate 1.00% below SLO of 50%", "slo.cache_hit_rate"),
        ("Error rate 3.000% exceeds SLO of 1%", "kyrodb_errors_total"),
        ("Availability 97.000% below SLO of 99.9%", "kyrodb_errors_total"),
        ("shutting down", "wait"),
        ("the event loop has not moved for 31 s", "restart the server"),
    ],
)
def test_what_is_no_fault_of_the_disk_is_not_blamed_on_it(reason: str, advice: str) -> None:
    told = cure(reason, otherwise=DISK)
    assert advice in told
    assert "repair the disk" not in told


def test_a_certificate_that_ends_is_to_be_replaced() -> None:
    ends = Validity("server.tls.cert_path", Path("server.pem"), "CN=db", 0.0, 1000.0)
    for now_s in (999.0, 1001.0, -1.0):
        assert "put a new certificate there" in cure(ends.warning(now_s), otherwise=DISK)


def test_memory_behind_the_log_asks_for_a_restart() -> None:
    reason = "an interrupted write left memory behind the log; restart to replay it"
    assert cure(reason, otherwise=DISK) == "restart the server: it replays the log"


def test_each_part_of_a_reason_has_its_advice() -> None:
    both = "disk space low (< 10%): 3.0 GiB of 60.0 GiB free; 2 failed WAL writes observed"
    assert cure(both, otherwise=DISK) == (
        "free space, or move the data directory to a larger disk; "
        "the disk has failed since the start: read dmesg; a restart clears this state"
    )


def test_what_the_system_said_is_about_the_disk_only_while_writes_are_refused() -> None:
    assert cure("write to the log: Input/output error", otherwise=DISK) == DISK
    assert cure("something of a later version", otherwise=SEE_REASON) == SEE_REASON


def test_every_objective_has_an_advice() -> None:
    assert set(judge(Counters(), SloSettings(recall=0.9)).breaches) == set(OBJECTIVE_CURES)
