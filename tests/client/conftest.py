"""A store of each kind, empty, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.stores import ALL_DOCUMENTS, DIMENSION, Store, client_of
from tests.server.running import RunningServer, running_server

import pykyro


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real server, one for the session."""
    with running_server(tmp_path_factory.mktemp("server"), hnsw__dimension=DIMENSION) as running:
        yield running


@pytest.fixture(params=["embedded", "client", "async"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A Database, a Client and an AsyncClient, one after the other."""
    if request.param == "embedded":
        with pykyro.open(tmp_path / "data", dimension=DIMENSION) as database:
            yield database
        return
    running: RunningServer = request.getfixturevalue("server")
    with client_of(request.param, f"127.0.0.1:{running.port}") as client:
        client.delete_many(filter=ALL_DOCUMENTS)
        yield client
