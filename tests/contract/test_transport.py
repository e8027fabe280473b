"""What every call meets before and after its handler, on both transports."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.contract.corner import Corner, Refused
from tests.server.running import RunningServer

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS
from pykyro.version import SERVICE

X = [1.0, 0.0, 0.0, 0.0]


def raw(server: RunningServer, path: str, payload: bytes) -> bytes:
    """A unary call of bytes that need be no message."""
    call = server.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
    answer: bytes = call(payload)
    return answer


@pytest.mark.parametrize("name", [method.name for method in METHODS.values() if not method.client_streaming])
def test_bytes_that_are_no_message_are_the_clients_fault(server: RunningServer, name: str) -> None:
    with Refused() as refused:
        raw(server, METHODS[name].path, b"\x0a\xff")
    assert refused.code == "INVALID_ARGUMENT"
    assert METHODS[name].request.DESCRIPTOR.name in refused.text


def test_streams_survive_bytes_that_are_no_message(server: RunningServer) -> None:
    method = METHODS["BulkInsert"]
    call = server.channel.stream_unary(method.path, request_serializer=None, response_deserializer=None)
    response = pb.InsertResponse.FromString(call(iter([b"\x0a\xff"])))
    assert (response.success, response.total_failed) == (False, 1)


def test_unknown_method_is_unimplemented(server: RunningServer) -> None:
    with Refused() as refused:
        raw(server, f"/{SERVICE}/Explode", b"")
    assert refused.code == "UNIMPLEMENTED"


def test_message_at_the_limit_is_taken_and_a_larger_one_refused(server: RunningServer) -> None:
    request = pb.HealthRequest(component=" " * (4 << 20))
    padding = request.ByteSize() - (4 << 20)
    request.component = request.component[padding:]
    assert request.ByteSize() == 4 << 20
    assert server.stub.Health(request).version
    request.component += " "
    with Refused() as refused:
        server.stub.Health(request)
    assert refused.code == "RESOURCE_EXHAUSTED"
    assert "4194305 vs. 4194304" in refused.text


def test_unpacked_embedding_is_understood(corner: Corner) -> None:
    unpacked = b"".join(b"\x15" + bytes.fromhex("0000803f") for _ in range(4))
    request = pb.InsertRequest(doc_id=corner.id(1)).SerializeToString() + unpacked
    response = pb.InsertResponse.FromString(raw(corner.server, METHODS["Insert"].path, request))
    assert response.success
    assert list(corner.query(1, include_embedding=True).embedding) == [1.0] * 4


def test_call_ends_at_its_deadline_and_keeps_what_was_stored(corner: Corner) -> None:
    for deadline_s in (0.3, 3.0, 30.0):  # a busy machine may need longer to read the first message
        never = threading.Event()
        with Refused() as refused:
            corner.server.stub.BulkInsert(_one_and_no_end(corner, never), timeout=deadline_s)
        never.set()
        assert refused.code == "DEADLINE_EXCEEDED"
        if corner.query(1).found:
            return
    raise AssertionError("nothing was stored before the deadline")


def _one_and_no_end(corner: Corner, never: threading.Event) -> Iterator[pb.InsertRequest]:
    yield corner.document(1, X)
    never.wait(60)


def test_callers_at_once_all_get_their_own_answer(corner: Corner) -> None:
    def insert_and_find(number: int) -> bool:
        corner.insert(number, X, {"n": str(number)})
        own = pb.MetadataFilter(exact=pb.ExactMatch(key="n", value=str(number)))
        return corner.found(X, filter=own) == [number] and corner.query(number).metadata["n"] == str(number)

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(insert_and_find, range(1, 200)))


def test_standard_health_service_says_serving(server: RunningServer) -> None:
    stub = health_pb2_grpc.HealthStub(server.channel)
    for service in ("", SERVICE):
        response = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError):
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"))


def test_reflection_lists_the_service(server: RunningServer) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = stub.ServerReflectionInfo(iter(requests))
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names
    assert described.file_descriptor_response.file_descriptor_proto
