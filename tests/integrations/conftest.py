"""One server for all these tests; each uses a collection of its own, or empties it first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.server.running import RunningServer, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real server."""
    with running_server(tmp_path_factory.mktemp("server"), hnsw__dimension=8) as running:
        yield running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs the tests that are coroutines."""
    return "asyncio"
