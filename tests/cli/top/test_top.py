"""kyrodb top: one frame from a real server, and the arithmetic between two readings."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console
from tests.operations.faults import limit_file_size
from tests.operations.observed import DIMENSION, insert, try_insert
from tests.server.running import running_server

from pykyro.cli.kyrodb import main
from pykyro.cli.observability import Endpoint, Interval, Reading, checked_url, parse_exposition
from pykyro.cli.top.top import read
from pykyro.cli.top.view import frame
from pykyro.model.errors import ConfigError, Unavailable
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.telemetry.catalogue.declaration import Family, Instrument
from pykyro.telemetry.counters import Histogram
from pykyro.telemetry.exposition import render


def shown(before: Reading, now: Reading) -> str:
    """The frame as a wide terminal without colours shows it."""
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(frame(before, now))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_frame_of_a_running_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.http_port}")
        before = read(endpoint)
        for doc_id in range(1, 31):
            insert(server, doc_id)
        server.stub.Search(pb.SearchRequest(query_embedding=[1, 2, 3, 4], k=3))
        view = shown(before, read(endpoint))
        for words in ("healthy", "Insert", "Search", "hot tier", "30", "closed", "accepted", "availability"):
            assert words in view, view
        assert "not ready" not in view
        assert "errors" in view

        assert main(["top", "--url", endpoint.url, "--once"]) == 0
        assert "objectives, last 5 minutes" in capsys.readouterr().out

        limit_file_size(server.process.pid, 0)
        assert try_insert(server, 99).code == "UNAVAILABLE"
        view = shown(before, read(endpoint))
        for words in ("unhealthy", "File too large", "OPEN", "refused"):
            assert words in view, view


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--url", "http://127.0.0.1:9", "--once"]) == 1
    assert "http://127.0.0.1:9/health" in capsys.readouterr().err
    with pytest.raises(Unavailable):
        read(Endpoint("http://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["", "localhost:51051", "ftp://x", "http://", "file:///etc/passwd"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must begin with http:// or https://"):
        checked_url(url)


CALLS = Instrument("kyrodb_calls", "counter", "calls", "Calls.", ("rpc", "code"))
TOOK = Instrument("kyrodb_took", "histogram", "seconds", "Duration.", ("rpc",))


def reading(at_s: float, *families: Family) -> Reading:
    return Reading("", at_s, parse_exposition(render(families)), {}, {})


def test_rates_and_quantiles_are_of_what_came_in_between() -> None:
    old, new = Histogram(), Histogram()
    for _ in range(100):
        old.observe(5.0)
        new.observe(5.0)
    for duration_s in [0.0004] * 98 + [0.2] * 2:
        new.observe(duration_s)

    def at(at_s: float, count: int, histogram: Histogram) -> Reading:
        odd = ('a "b"\\c', "OK")
        return reading(at_s, CALLS.by_labels([(odd, count)]), TOOK.by_label({"x": histogram}))

    interval = Interval(at(10, 100, old), at(14, 140, new))
    assert interval.rates(CALLS, "code") == {"OK": 10.0}
    assert interval.rates(TOOK, "rpc") == {"x": 25.0}
    assert interval.quantile_s(TOOK, 0.5, rpc="x") == 0.0005
    assert interval.quantile_s(TOOK, 0.99, rpc="x") == 0.25
    assert math.isnan(interval.quantile_s(TOOK, 0.5, rpc="y"))
    # After a restart counters start over.
    assert Interval(at(0, 100, old), at(1, 3, old)).rates(CALLS, "code") == {"OK": 0.0}


def test_the_wrong_port_and_the_wrong_scheme_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        assert Endpoint(f"http://127.0.0.1:{server.http_port}").get("/health")[0] == 200
        with pytest.raises(Unavailable, match=r"is this the gRPC port .* https://"):
            Endpoint(f"http://127.0.0.1:{server.port}").get("/health")
        with pytest.raises(Unavailable, match=r"the port does not use TLS .*: write http://"):
            Endpoint(f"https://127.0.0.1:{server.http_port}").get("/health")
    with pytest.raises(Unavailable, match="no server listens there; is the server started"):
        Endpoint(f"http://127.0.0.1:{server.http_port}").get("/health")
