"""Sampled recall as an operator meets it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, running_server

from pykyro.cache.similar import SimilarityControl
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.measurements import unproved_answers
from pykyro.telemetry.exposition import render


def sampled(server: RunningServer) -> dict[str, float]:
    """The "recall" of /slo after some searches."""
    source = np.random.default_rng(1)
    messages = (
        pb.InsertRequest(doc_id=at, embedding=source.standard_normal(8).tolist()) for at in range(1, 200)
    )
    assert server.stub.BulkInsert(messages).success
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        server.stub.Search(pb.SearchRequest(query_embedding=source.standard_normal(8).tolist(), k=3))
        slo: dict[str, dict[str, float]] = server.http_json("/slo")
        if "recall" in slo:
            return slo["recall"]
    raise AssertionError(server.log)


def test_recall_appears_once_it_is_measured(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=8, slo__recall=0.5) as server:
        assert "recall" not in server.http_json("/slo")
        assert server.http_json("/slo")["slo_breaches"]["recall"] is False
        recall = sampled(server)
        assert (recall["estimate"], recall["high"], recall["min_recall"]) == (1.0, 1.0, 0.5)
        assert 0 <= recall["low"] < 1
        text = server.http("/metrics").text
        assert 'kyrodb_recall_estimate{path="all",filtered="any"} 1.000000' in text
        assert 'kyrodb_recall_estimate{path="hot",filtered="false"} 1.000000' in text
        assert 'kyrodb_slo_breached{objective="recall"} 0' in text


def test_what_is_known_of_unproved_answers_is_told_once_they_are_served() -> None:
    control = SimilarityControl(0.5, 0.9)
    control.observe(0.99, 1.0)
    assert "threshold" not in render(unproved_answers(control))
    assert "kyrodb_query_cache_checks_total 1" in render(unproved_answers(control))
    for _ in range(199):
        control.observe(0.99, 1.0)
    text = render(unproved_answers(control))
    assert "kyrodb_query_cache_recall 1.000000" in text
    assert f"kyrodb_query_cache_threshold {control.threshold:.6f}" in text
    assert f"kyrodb_query_cache_recall_low {control.recall()[1]:.6f}" in text
