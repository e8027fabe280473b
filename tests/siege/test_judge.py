"""The judge sees what it is there for: each promise is broken once, and found."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.siege import judge
from tests.siege.documents import Recipe
from tests.siege.finding import Finding
from tests.siege.lawful import bulk_insert, check_documents, insert, merge
from tests.siege.probe import DOCUMENTS
from tests.siege.session import TENANTS, Siege, auth

from pykyro.proto import kyrodb_pb2 as pb

ACME = TENANTS[0]


@contextlib.contextmanager
def siege_at(directory: Path, *, max_vectors: int = 1000) -> Iterator[Siege]:
    siege = Siege(directory, 512, max_vectors=max_vectors)
    try:
        yield siege
    finally:
        siege.end()


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with siege_at(tmp_path_factory.mktemp("siege")) as one:
        bulk_insert(one, tenant=ACME, first=1, count=20, keys=3, text_bytes=300, own_keys=0)
        insert(one, tenant=ACME, first=21, count=5, keys=1, text_bytes=9, own_keys=1, at_once=4)
        merge(one, tenant=ACME, first=1, count=5, times=2, value_bytes=10, at_once=5)
        yield one


def test_a_quiet_server_keeps_every_promise(siege: Siege) -> None:
    judge.judge(siege, random.Random(0))
    assert len(siege.documents.present(ACME)) == 26
    check_documents(siege)


def test_a_document_that_is_gone(siege: Siege) -> None:
    siege.documents.put((ACME, 400), Recipe(1, 1, 5), sure=True)
    with pytest.raises(Finding, match="lost: document 400 of acme is absent"):
        check_documents(siege)
    siege.documents.put((ACME, 400), None, sure=True)


def test_a_document_of_old_content(siege: Siege) -> None:
    request = pb.UpdateMetadataRequest(doc_id=7, metadata={"k0": "other"}, merge=True)
    assert siege.stub.UpdateMetadata(request, metadata=auth(ACME)).success
    with pytest.raises(Finding, match="lost: document 7 of acme is one with 3 keys"):
        check_documents(siege)
    siege.documents.merge((ACME, 7), "k0", "other", sure=True)
    check_documents(siege)


def test_more_memory_than_the_budget(siege: Siege, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siege, "limit_bytes", 16 << 20)
    with pytest.raises(Finding, match=r"memory: .* of the limit \(16 MiB\); parts: kyrodb_memory_part_bytes"):
        judge.check_memory(siege)


def test_a_wrong_answer_to_the_probe(siege: Siege) -> None:
    siege.probe.check(siege.quiet_ms)
    assert siege.stub.Delete(pb.DeleteRequest(doc_id=9), metadata=auth("probe")).success
    with pytest.raises(Finding, match=r"probe: .* searched 9, found \[\d+\]"):
        _probe_all(siege)


def _probe_all(siege: Siege) -> None:
    for _ in range(DOCUMENTS):
        siege.probe.check(siege.quiet_ms)


def test_a_server_that_stands_still_or_is_gone(tmp_path: Path) -> None:
    with siege_at(tmp_path) as siege:
        siege.server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(Finding, match="probe: after 10"):
            siege.probe.check(siege.quiet_ms)
        siege.server.process.send_signal(signal.SIGKILL)
        siege.server.process.wait()
        with pytest.raises(Finding, match="died: the server ended with -9"):
            judge.judge(siege, random.Random(0))


def test_writes_refused_while_health_says_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant without room stands for it: that is no matter of health, but looks the same from outside."""
    monkeypatch.setattr(judge, "_BETWEEN_S", 0.01)
    with siege_at(tmp_path, max_vectors=50) as siege:
        bulk_insert(siege, tenant=ACME, first=1, count=50, keys=0, text_bytes=0, own_keys=0)
        with pytest.raises(Finding, match=r"health: a write ends with RESOURCE_EXHAUSTED.* says healthy"):
            judge.check_health(siege)
