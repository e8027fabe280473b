"""A gRPC server that fails as it is told, for what a healthy server does not do on command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from pykyro.proto.methods import METHODS
from pykyro.version import SERVICE

Answer: TypeAlias = Callable[[list[bytes], grpc.ServicerContext], Any]
"""From the request messages of a call to its response, or to an iterator of them for an RPC that streams them."""


@dataclass
class Scripted:
    """What was asked, and what is answered: per RPC a list of answers, the last one for ever."""

    target: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, list[bytes]]] = field(default_factory=list)
    metadata: dict[str, str | bytes] = field(default_factory=dict)

    def asked_of(self, rpc: str) -> list[list[bytes]]:
        """The request messages of each call of this RPC."""
        return [requests for name, requests in self.asked if name == rpc]


def ok(message: Any) -> Answer:
    """The call succeeds with this message."""
    return lambda requests, context: message.SerializeToString()


def refuse(code: grpc.StatusCode, text: str = "scripted", retry_after_ms: str | None = None) -> Answer:
    """The call ends with this status."""

    def answer(requests: list[bytes], context: grpc.ServicerContext) -> bytes:
        if retry_after_ms is not None:
            context.set_trailing_metadata((("retry-after-ms", retry_after_ms),))
        context.abort(code, text)
        raise AssertionError("abort returns not")

    return answer


def sleep(seconds: float) -> Answer:
    """The call takes longer than anybody waits."""

    def answer(requests: list[bytes], context: grpc.ServicerContext) -> bytes:
        deadline = time.monotonic() + seconds
        while context.is_active() and time.monotonic() < deadline:
            time.sleep(0.01)
        return b""

    return answer


@contextlib.contextmanager
def scripted_server(
    answers: dict[str, list[Answer]],
    credentials: grpc.ServerCredentials | None = None,
    place: str = "127.0.0.1:0",
) -> Iterator[Scripted]:
    """A server on a free port, or at `place`, that answers by the script."""
    script = Scripted(answers=answers)
    server = server_of(script)
    port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
    script.target = place if place.startswith("unix:") else f"127.0.0.1:{port}"
    server.start()
    try:
        yield script
    finally:
        server.stop(None).wait()


def server_of(script: Scripted) -> grpc.Server:
    """A server of this script that has no port yet."""
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {name: _handler(name, script) for name in METHODS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return server


def _handler(name: str, script: Scripted) -> grpc.RpcMethodHandler[Any, Any]:
    def answered(requests: list[bytes], context: grpc.ServicerContext) -> Any:
        script.asked.append((name, requests))
        script.metadata = dict(context.invocation_metadata())
        answers = script.answers[name]
        return (answers.pop(0) if len(answers) > 1 else answers[0])(requests, context)

    def streamed(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        response = answered(list(messages), context)
        yield from [response] if isinstance(response, bytes) else response

    method = METHODS[name]
    if method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(streamed)
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(
            lambda messages, context: answered(list(messages), context)
        )
    return grpc.unary_unary_rpc_method_handler(lambda message, context: answered([message], context))
