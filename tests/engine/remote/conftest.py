"""A real PostgreSQL with pgvector, one for each run of the tests; it stands on a socket in a temporary directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.remote.postgres import Postgres, started


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with started(tmp_path_factory.mktemp("services")) as server:
        yield server


@pytest.fixture
def services(postgres: Postgres) -> Path:
    """The file of connection services, `kyrodb` leading to an empty database."""
    return postgres.fresh()
