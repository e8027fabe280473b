"""One real server for each transport, shared by every contract test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.corner import DIMENSION, TRANSPORTS, Corner
from tests.server.running import RunningServer, running_server


@pytest.fixture(scope="session", params=TRANSPORTS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server of dimension 4 and cosine."""
    directory = tmp_path_factory.mktemp(request.param)
    with running_server(directory, server__transport=request.param, hnsw__dimension=DIMENSION) as running:
        yield running


@pytest.fixture
def corner(server: RunningServer) -> Corner:
    return Corner(server)
