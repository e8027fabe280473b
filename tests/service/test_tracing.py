"""Traces of calls, as a collector gets them from a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_rpc
from tests.contract.corner import TRANSPORTS
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server

from pykyro.config.settings.observability import TracingSettings
from pykyro.model.errors import ConfigError
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.tracing import start_tracing
from pykyro.version import SERVICE

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"), ("x-request-id", "mine"))
NOT_SAMPLED = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00"),)


class Collector(collector_rpc.TraceServiceServicer):
    """Keeps the spans it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        for of_resource in request.resource_spans:
            self.resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            self.spans += [span for of_scope in of_resource.scope_spans for span in of_scope.spans]
        return collector_pb.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def of_call(self, rpc: str) -> Any:
        """The last call of this RPC."""
        return self.named(f"{SERVICE}/{rpc}")[-1]

    def children(self, parent: Any) -> list[Any]:
        own = [span for span in self.spans if span.parent_span_id == parent.span_id]
        return sorted(own, key=lambda span: int(span.start_time_unix_nano))


def attributes(span: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, int]]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    collector_rpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, port
    server.stop(None).wait()


@pytest.fixture(scope="module", params=TRANSPORTS)
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, collector: tuple[Collector, int]
) -> Collector:
    """What the collector was sent by a server, from its first call to its end."""
    spans, port = collector
    spans.spans.clear()
    with running_server(
        tmp_path_factory.mktemp("traced"),
        server__transport=request.param,
        hnsw__dimension=2,
        tracing__enabled="true",
        tracing__endpoint=f"http://127.0.0.1:{port}",
        tracing__service_name="db-7",
    ) as server:
        _call_everything(server)
    wait_until(lambda: len(spans.named(f"{SERVICE}/Query")) == 1, "the spans arrive")
    return spans


def _call_everything(server: RunningServer) -> None:
    call = server.stub
    call.Insert(pb.InsertRequest(doc_id=1, embedding=[1.0, 2.0]), metadata=PARENT)
    call.FlushHotTier(pb.FlushRequest(force=True))
    call.Insert(pb.InsertRequest(doc_id=2, embedding=[1.0, 3.0]))
    call.Search(pb.SearchRequest(query_embedding=[1.0, 1.0], k=2), metadata=PARENT)
    call.Search(pb.SearchRequest(query_embedding=[1.0, 1.0], k=2), metadata=NOT_SAMPLED)
    with pytest.raises(grpc.RpcError):
        call.Delete(pb.DeleteRequest(doc_id=0))
    list(call.BulkSearch(iter([pb.SearchRequest(query_embedding=[1.0, 0.5], k=2)] * 3), metadata=PARENT))
    call.Query(pb.QueryRequest(doc_id=1))


def test_a_call_is_a_span_below_that_of_its_client(traced: Collector) -> None:
    (search,) = traced.named(f"{SERVICE}/Search")
    assert (search.trace_id.hex(), search.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(search) | {"kyrodb.plan": ""} == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "Search",
        "rpc.response.status_code": "OK",
        "kyrodb.request_id": "mine",
        "kyrodb.plan": "",
    }
    assert "scan" in attributes(search)["kyrodb.plan"]
    assert (traced.resource["service.name"], traced.resource["service.version"] != "") == ("db-7", True)


def test_the_stages_of_a_search_are_its_children(traced: Collector) -> None:
    search = traced.of_call("Search")
    queue, decode, tiers, encode = traced.children(search)
    assert [span.name for span in (queue, decode, tiers, encode)] == ["queue", "decode", "search", "encode"]
    assert [span.name for span in traced.children(tiers)] == ["search cold tier", "search hot tier"]
    for stage in (queue, decode, tiers, encode):
        assert stage.trace_id == search.trace_id
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano
    assert queue.end_time_unix_nano <= tiers.start_time_unix_nano <= encode.start_time_unix_nano


def test_a_write_waits_for_its_group(traced: Collector) -> None:
    first = traced.named(f"{SERVICE}/Insert")[0]
    assert first.parent_span_id.hex() == PARENT_ID
    assert [span.name for span in traced.children(first)] == ["group commit"]


def test_a_failed_call_says_so(traced: Collector) -> None:
    failed = traced.of_call("Delete")
    assert failed.parent_span_id == b""
    assert (failed.status.code, failed.status.message) == (2, "INVALID_ARGUMENT")
    assert attributes(failed)["rpc.response.status_code"] == "INVALID_ARGUMENT"


def test_a_stream_is_one_span(traced: Collector) -> None:
    stream = traced.of_call("BulkSearch")
    assert attributes(stream)["rpc.response.status_code"] == "OK"
    assert traced.children(stream) == []


def test_what_the_client_does_not_want_traced_is_not(traced: Collector) -> None:
    assert len(traced.named(f"{SERVICE}/Search")) == 1


def test_without_the_extra_it_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"tracing.enabled = true: .*pykyro\[otel\]"):
        start_tracing(TracingSettings(enabled=True))


def test_off_is_the_default_and_imports_nothing(tmp_path: Path) -> None:
    assert start_tracing(TracingSettings()) is None
    program = (
        "import sys, pykyro.server.app; assert not [name for name in sys.modules if 'opentelemetry' in name]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=60)
