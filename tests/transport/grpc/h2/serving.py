"""A server of the transport h2corn in this process, with handlers of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from tests.patience import PATIENCE_S

from pykyro.config import Settings
from pykyro.memory.budget import MemoryBudget
from pykyro.service.admission import Admission
from pykyro.transport.grpc.h2.server import H2Server
from pykyro.transport.grpc.rpc import Handler
from pykyro.transport.listening import Address

SERVICE = "test.Service"
GIB = 1 << 30


@contextlib.contextmanager
def serving(handlers: Mapping[str, Handler], admission: Admission | None = None) -> Iterator[int]:
    """The port; everything is stopped at the end."""
    admission = admission or Admission(MemoryBudget(GIB, measure=None))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = H2Server(Settings(), {SERVICE: handlers}, admission, None, connections_max=50)

    async def start() -> int:
        return await server.start(Address("127.0.0.1", 0, False))

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_S)
        asyncio.run_coroutine_threadsafe(server.stop(0.1), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def channel_to(port: int, *options: tuple[str, object]) -> Iterator[Any]:
    every = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1), *options]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=every) as channel:
        yield channel


def path(name: str) -> str:
    return f"/{SERVICE}/{name}"
