"""LangChain's own test suite, in this process and at a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests
from tests.server.running import RunningServer

from pykyro.langchain import KyroVectorStore


@pytest.mark.anyio
class TestEmbedded(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        """An empty store in a directory."""
        with KyroVectorStore(self.get_embeddings(), path=tmp_path / "data") as store:
            yield store


@pytest.mark.anyio
class TestServer(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, server: RunningServer) -> Iterator[VectorStore]:
        """An empty store in a collection of a server."""
        with KyroVectorStore(self.get_embeddings(), url=f"127.0.0.1:{server.port}") as store:
            store.delete()
            yield store
