"""Haystack's own test bases: for callers that wait in this process, for coroutines at a server.

What is compared is what the store says: embeddings as float32, and documents in no stated order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing.document_store import CountDocumentsByFilterTest, DocumentStoreBaseExtendedTests
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
)
from tests.server.running import RunningServer

from pykyro.haystack import KyroDocumentStore


def comparable(documents: list[Document]) -> list[dict[str, Any]]:
    """By id, with embeddings as float32."""
    entries = [document.to_dict(flatten=False) for document in sorted(documents, key=lambda one: one.id)]
    for entry in entries:
        if entry["embedding"] is not None:
            entry["embedding"] = np.array(entry["embedding"], np.float32).tolist()
    return entries


class Compared:
    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """What Haystack asks of a store to say."""
        assert comparable(received) == comparable(expected)


class Waiting(Compared, DocumentStoreBaseExtendedTests, CountDocumentsByFilterTest):
    def test_write_documents(self, document_store: KyroDocumentStore) -> None:  # type: ignore[override]
        """Haystack leaves it to a store what happens without a policy."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


@pytest.mark.anyio
class Awaiting(
    Compared,
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: KyroDocumentStore) -> None:
        """As `test_write_documents`."""
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])
        self.assert_documents_are_equal(await document_store.filter_documents_async(), [document])


class TestEmbedded(Waiting):
    @pytest.fixture
    def document_store(self, tmp_path: Path) -> Iterator[KyroDocumentStore]:
        """An empty store in a directory."""
        store = KyroDocumentStore(path=str(tmp_path / "data"))
        yield store
        store.close()


class TestServer(Awaiting):
    @pytest.fixture
    def document_store(self, server: RunningServer) -> Iterator[KyroDocumentStore]:
        """An empty store in a collection of a server."""
        store = KyroDocumentStore(url=f"127.0.0.1:{server.port}")
        store.delete_all_documents()
        yield store
        store.close()
