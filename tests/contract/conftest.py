"""One real server for each transport, shared by every contract test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from tests.contract.corner import DIMENSION, TRANSPORTS, Corner
from tests.server.running import RunningServer, running_server


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RunningServer]]:
    """The server of a transport, of dimension 4 and cosine, from its first use to the end. A fixture with the
    transport as its parameter would end with each change of it, twice in each file."""
    with ExitStack() as running:

        @cache
        def started(transport: str) -> RunningServer:
            directory = tmp_path_factory.mktemp(transport)
            return running.enter_context(
                running_server(directory, server__transport=transport, hnsw__dimension=DIMENSION)
            )

        yield started


@pytest.fixture(scope="session", params=TRANSPORTS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], RunningServer]) -> RunningServer:
    """A server of dimension 4 and cosine."""
    return servers(request.param)


@pytest.fixture
def corner(server: RunningServer) -> Corner:
    return Corner(server)
