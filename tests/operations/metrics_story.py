"""A day in the life of a server that moves every metric it exports, told as scrapes before and after each event."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
from tests.operations.faults import lift_file_size_limit, limit_file_size
from tests.operations.observed import DIMENSION, get, insert, metric, try_insert
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import RunningServer, start_server

from pykyro.proto import kyrodb_pb2 as pb

SETTINGS: dict[str, Any] = {
    "collections__default_text_keys": "text",
    "cache__capacity": 3000,
    "hnsw__dimension": DIMENSION,
    "hnsw__max_elements": 5000,
    "hnsw__ef_construction": 2000,
    "logging__slow_query_ms": 0,
    "persistence__wal_breaker_cooldown_secs": 1,
    "slo__min_samples": 1,
    "slo__cache_hit_rate": 0.7,
}
Scrape = dict[str, float]
"""Values by sample, such as `kyrodb_tier_hits_total{tier="hot"}`."""


def scrape(server: RunningServer) -> Scrape:
    lines = get(server, "/metrics")[1].splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {sample: float(value) for sample, value in pairs}


def family_of(sample: str) -> str:
    """The metric a sample belongs to."""
    return re.sub(r"(?<!_doc)_(bucket|sum|count)$", "", sample.partition("{")[0])


class Story:
    """The events, in order; each returns the scrape that follows it and keeps it in `scrapes`."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self._backups = tmp_path / "backups"
        self._backups.mkdir()
        self.scrapes: list[Scrape] = []
        self.server = self._start()

    def _start(self, **changed: object) -> RunningServer:
        where = {"backup__dir": self._backups}
        server = start_server(self._tmp_path, SETTINGS | where | changed)
        with contextlib.suppress(ConnectionRefusedError):
            self.server = server
            wait_until(lambda: _answers(server), "the HTTP port answers")
            self.look()
        server.wait_ready()
        return server

    def look(self) -> Scrape:
        self.scrapes.append(scrape(self.server))
        return self.scrapes[-1]

    def close(self) -> None:
        self.server.channel.close()
        if self.server.process.poll() is None:
            self.server.process.kill()
            self.server.process.wait()

    # --- events ---

    def search(self, *, k: int) -> Scrape:
        """The query cache knows nothing of another `k`."""
        request = pb.SearchRequest(query_embedding=[1.0, 0.0, 0.5, -1.0], k=k)
        self.server.stub.Search(request)
        return self.look()

    def word_search(self, *, vector: bool) -> Scrape:
        embedding = [1.0, 0.0, 0.5, -1.0] if vector else []
        self.server.stub.Search(pb.SearchRequest(query_embedding=embedding, text="fox", k=3))
        return self.look()

    def many_searches(self, count: int) -> Scrape:
        requests = (pb.SearchRequest(query_embedding=[1, 1, 1, 1], k=k) for k in range(1, count + 1))
        assert len(list(self.server.stub.BulkSearch(requests))) == count
        return self.look()

    def query(self, doc_id: int) -> Scrape:
        self.server.stub.Query(pb.QueryRequest(doc_id=doc_id))
        return self.look()

    def insert(self, doc_id: int) -> Scrape:
        insert(self.server, doc_id)
        return self.look()

    def refused(self, request: pb.InsertRequest, code: str) -> Scrape:
        try:
            self.server.stub.Insert(request)
        except grpc.RpcError as error:
            refusal: Any = error
            assert refusal.code().name == code
        else:
            raise AssertionError("it was accepted")
        return self.look()

    def load(self, first_id: int, count: int) -> Scrape:
        documents = (
            pb.InsertRequest(doc_id=first_id + at, embedding=[1.0, float(at), 0.25, 3.0])
            for at in range(count)
        )
        assert self.server.stub.BulkInsert(documents).success
        return self.look()

    def fill_up(self) -> Scrape:
        """As many documents as hnsw.max_elements allows."""
        missing = SETTINGS["hnsw__max_elements"] - int(metric(self.server, "documents"))
        return self.load(10_000, missing)

    def delete(self, doc_id: int) -> Scrape:
        assert self.server.stub.Delete(pb.DeleteRequest(doc_id=doc_id)).existed
        return self.look()

    def flush(self) -> Scrape:
        self.server.stub.FlushHotTier(pb.FlushRequest(force=True))
        return self.look()

    def merge(self) -> Scrape:
        for doc_id in (4001, 4002):
            insert(self.server, doc_id)
            self.server.stub.FlushHotTier(pb.FlushRequest(force=True))
        wait_until(lambda: metric(self.server, "merges_total") > 0, "segments are merged")
        return self.look()

    def client_gives_up(self) -> Scrape:
        def gave_up() -> bool:
            with contextlib.suppress(grpc.RpcError):
                for _ in self.server.stub.BulkSearch(_slowly(), timeout=0.3):
                    pass
            return metric(self.server, "errors_total", category="timeout") > 0

        wait_until(gave_up, "the deadline passes")
        return self.look()

    def calls_in_flight(self) -> Scrape:
        stop = threading.Event()

        def keep_inserting() -> None:
            while not stop.is_set():
                insert(self.server, 1)

        threads = [threading.Thread(target=keep_inserting) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: self.look()["kyrodb_active_connections"] > 0, "a call is seen in flight")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return self.look()

    def build_process_dies(self) -> Scrape:
        """Enough documents that a graph is built, whose process is killed as a system short of memory does it."""
        self.load(1000, SETTINGS["cache__capacity"])
        process = psutil.Process(self.server.process.pid)

        def kill_and_look() -> bool:
            for child in process.children():
                child.kill()
            return metric(self.server, "maintenance_failing") == 1

        wait_until(kill_and_look, "the background fails")
        failing = self.look()
        wait_until(lambda: metric(self.server, "maintenance_failing") == 0, "it is tried again")
        return failing

    def backup_is_taken(self) -> Scrape:
        (self._backups / "backup_20250601T120000Z.tar").touch()
        return self.look()

    def disk_fails(self) -> Scrape:
        """A write is cut short, as on a full disk; the next is refused; the tries fail; a query that writes too."""
        wal = max((self._tmp_path / "data").glob("wal_*.wal"))
        limit_file_size(self.server.process.pid, wal.stat().st_size + 10)
        assert try_insert(self.server, 1).code == "UNAVAILABLE"
        limit_file_size(self.server.process.pid, 0)
        self.look()
        with contextlib.suppress(grpc.RpcError):
            self.server.stub.UpdateMetadata(pb.UpdateMetadataRequest(doc_id=1, metadata={"a": "b"}))
        wait_until(lambda: metric(self.server, "wal_retries_total") > 0, "the disk is tried again")
        return self.look()

    def disk_is_mended(self) -> Scrape:
        lift_file_size_limit(self.server.process.pid)
        wait_until(lambda: metric(self.server, "wal_circuit_breaker_state") == 0, "the breaker closes")
        return self.look()

    def power_goes_and_cuts_a_write(self) -> Scrape:
        self.server.process.kill()
        self.server.process.wait()
        self.server.channel.close()
        wal = max((self._tmp_path / "data").glob("wal_*.wal"))
        with wal.open("r+b") as file:
            file.truncate(wal.stat().st_size - 3)
        self.server = self._start(persistence__wal_flush_interval_ms=1500)
        return self.look()

    def write_waits_for_its_sync(self) -> Scrape:
        insert(self.server, 1)
        waiting = self.look()
        wait_until(lambda: metric(self.server, "wal_unsynced_frames") == 0, "the timer syncs")
        self.look()
        return waiting

    def drain(self) -> Scrape:
        """Stop while a stream is open."""
        requests = _slowly()
        answers = self.server.stub.BulkSearch(requests)
        next(answers)
        self.server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: metric(self.server, "ready") == 0, "the server drains")
        draining = self.look()
        answers.cancel()
        assert self.server.process.wait(PATIENCE_S) == 0
        return draining


def _answers(server: RunningServer) -> bool:
    try:
        return get(server, "/health")[0] in (200, 503)
    except OSError:
        return False


def _slowly() -> Iterator[pb.SearchRequest]:
    """One search, and then silence."""
    yield pb.SearchRequest(query_embedding=[1.0, 1.0, 1.0, 1.0], k=1)
    time.sleep(10)
