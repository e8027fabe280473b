"""kyrodb_load_tester against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro
from pykyro.cli.load import dataset
from pykyro.cli.load.kyrodb_load_tester import main
from pykyro.cli.load.open_loop import offer
from pykyro.model.types import Metric

SMALL = ("--dataset", "64", "--dimension", "4", "--qps", "200", "--duration", "0.5", "--concurrency", "4")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("load"), hnsw__dimension=4) as running:
        yield running


def said(capsys: pytest.CaptureFixture[str], server: RunningServer, *more: str, code: int = 0) -> str:
    assert main(["--server", f"http://127.0.0.1:{server.port}", *SMALL, *more]) == code
    shown = capsys.readouterr()
    return shown.err if code and not shown.out else shown.out


def test_a_load_seeds_searches_and_says_what_its_clients_saw(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = json.loads(said(capsys, server, "--format", "json", "--recall", "--queries", "near"))
    assert (figures["successes"], figures["failures"], figures["failure_ratio"]) == (100, {}, 0.0)
    assert figures["recall_at_10"] == 1.0
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    text = said(capsys, server, "--write-ratio", "0.3")
    assert "successes: 100\nfailures: 0\n" in text
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        assert client.count() == 64


def test_documents_of_others_are_not_replaced(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pykyro.Client(f"127.0.0.1:{server.port}") as client:
        texts = client.create_collection("texts", 4)
        texts.insert(1, [1, 2, 3, 4], {"mine": True})
        assert "give --collection NAME" in said(capsys, server, "--collection", "texts", code=1)
        mine = texts.get(1)
        assert mine is not None
        assert mine.metadata == {"mine": True}
        assert "failures: 0" in said(capsys, server, "--collection", "texts", "--no-seed")
        texts.delete(1)
        found = said(capsys, server, "--collection", "texts", "--no-seed", code=1)
        assert "failures: no results" in found
        client.drop_collection("texts")


def test_failures_are_counted_and_decide_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.yaml"
    write_keys(keys, entry("slow", max_qps=20))
    with running_server(tmp_path, hnsw__dimension=4, auth__enabled=True, auth__api_keys_file=keys) as guarded:
        assert "api key" in said(capsys, guarded, code=1).lower()
        monkeypatch.setenv("KYRODB_API_KEY", key_of("slow"))
        wanted = ("--format", "json", "--dataset", "10", "--max-failure-ratio", "0.01")
        figures = json.loads(said(capsys, guarded, *wanted, code=1))
        assert figures["failures"].keys() == {"RESOURCE_EXHAUSTED"}
        assert figures["failure_ratio"] > 0.01


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "http://127.0.0.1:1", "--timeout-secs", "0.2", *SMALL]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err
    assert main(["--server", "ftp://127.0.0.1:1", *SMALL]) == 1
    assert "--server must begin with http" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--max-failure-ratio", "2"])


def test_latency_counts_from_when_a_call_was_due() -> None:
    """One caller, ten calls due at once, each of which takes a while: the last has waited for all others."""

    async def slow(number: int) -> str:
        await asyncio.sleep(0.01)
        return "odd" if number % 2 else ""

    outcome = asyncio.run(offer(slow, per_s=1e6, duration_s=1e-5, callers=1))
    assert (outcome.calls, outcome.failures["odd"]) == (10, 5)
    assert outcome.latencies_s == sorted(outcome.latencies_s)
    assert outcome.latencies_s[-1] >= 0.09
    assert outcome.late_s >= 0.08


def test_a_call_that_fails_is_counted_by_its_status() -> None:
    async def fails(number: int) -> str:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "away", "")

    outcome = asyncio.run(offer(fails, per_s=1e6, duration_s=5e-6, callers=2))
    assert outcome.failures == {"UNAVAILABLE": 5}
    assert outcome.failure_ratio == 1.0


@pytest.mark.parametrize("metric", list(Metric))
def test_recall_is_the_share_of_the_nearest(metric: Metric) -> None:
    stored, wanted = dataset.vectors(50, 3), dataset.queries(dataset.vectors(50, 3), dataset.NEAR, 5)
    products, norms = wanted @ stored.T, np.linalg.norm(stored, axis=1)
    near = {
        Metric.COSINE: products / norms,
        Metric.INNER_PRODUCT: products,
        Metric.EUCLIDEAN: -np.linalg.norm(stored[None] - wanted[:, None], axis=2),
    }[metric]
    right = [(at, (np.argsort(-of_query)[:10] + 1).tolist()) for at, of_query in enumerate(near)]
    assert dataset.recall(stored, wanted, right, metric) == 1.0
    half = [(at, [*ids[:5], *(51, 52, 53)]) for at, ids in right]
    assert dataset.recall(stored, wanted, half, metric) == 0.5
