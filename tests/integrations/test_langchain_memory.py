"""LangChain's own suites for caches of answers, and its `index` with our records."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import BaseCache
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import aindex, index
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite
from tests.integrations.test_words_of_frameworks import TEXTS, Known
from tests.server.running import RunningServer

import pykyro
from pykyro.langchain import KyroCache, KyroRecordManager, KyroVectorStore


class TestCache(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Iterator[BaseCache]:
        cache = KyroCache(path=tmp_path)
        yield cache
        cache.close()


class TestCacheForCoroutines(AsyncCacheTestSuite):
    @pytest.fixture
    def cache(self, server: RunningServer) -> Iterator[BaseCache]:
        with pykyro.Client(f"localhost:{server.port}") as client:
            yield KyroCache(database=client)
            with contextlib.suppress(pykyro.NotFound):  # nothing was written
                client.drop_collection("langchain.answers")


for suite in (AsyncCacheTestSuite,):
    for name in [name for name in vars(suite) if name.startswith("test_")]:
        setattr(TestCacheForCoroutines, name, pytest.mark.anyio(getattr(suite, name)))


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    message = AIMessage("four", additional_kwargs={"a": [1]}, usage_metadata={
        "input_tokens": 1, "output_tokens": 2, "total_tokens": 3})  # fmt: skip
    answers: list[Any] = [
        ChatGeneration(message=message, generation_info={"b": 1.5}),
        Generation(text="vier"),
    ]
    cache = KyroCache(path=tmp_path)
    cache.update("2 + 2", "model", answers)
    cache.close()
    cache = KyroCache(path=tmp_path)
    assert cache.lookup("2 + 2", "model") == answers
    assert cache.lookup("2 + 2", "other") is None
    # No two pairs of prompt and model are one.
    assert cache.lookup("2 + 2mo", "del") is None
    with pytest.raises(pykyro.InvalidArgument, match="as JSON"):
        cache.update("a", "model", [Generation(text="b", generation_info={"c": object()})])
    cache.close()


def test_a_prompt_that_is_near_enough(tmp_path: Path) -> None:
    cache = KyroCache(path=tmp_path, embeddings=Known(), min_score=0.9)
    answer = [Generation(text="red")]
    cache.update(TEXTS["a"], "model", answer)
    assert cache.lookup("of the same vector", "model") == answer
    assert asyncio.run(cache.alookup("of the same vector", "model")) == answer
    assert cache.lookup(TEXTS["c"], "model") is None
    assert cache.lookup("of the same vector", "other model") is None
    cache.close()
    with pytest.raises(pykyro.InvalidArgument, match="min_score must be above 0"):
        KyroCache(path=tmp_path, min_score=0.0)


def test_a_model_is_asked_once(tmp_path: Path) -> None:
    cache = KyroCache(path=tmp_path)
    model = FakeListChatModel(responses=["one", "two"], cache=cache)
    assert [model.invoke("which?").content for _ in range(2)] == ["one", "one"]
    asyncio.run(cache.aclear())
    assert asyncio.run(model.ainvoke("which?")).content == "two"
    cache.close()


def test_an_answer_goes_after_its_time(tmp_path: Path) -> None:
    cache = KyroCache(path=tmp_path, ttl=0.2)
    cache.update("a", "model", [Generation(text="b")])
    deadline = time.monotonic() + 30
    while cache.lookup("a", "model") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cache.close()


def pages(*texts: str) -> list[Document]:
    return [Document(page_content=text, metadata={"source": text[0]}) for text in texts]


def test_only_what_has_changed_is_indexed(tmp_path: Path) -> None:
    embedding = DeterministicFakeEmbedding(size=4)
    with KyroVectorStore(embedding, path=tmp_path) as store:
        records = KyroRecordManager("pages", path=tmp_path)
        records.create_schema()

        def run(*texts: str, cleanup: Any = "full") -> list[int]:
            done = index(
                pages(*texts), records, store, cleanup=cleanup, source_id_key="source", key_encoder="sha256"
            )
            return [done["num_added"], done["num_skipped"], done["num_deleted"]]

        assert run("a1", "b1") == [2, 0, 0]
        assert run("a1", "b1", "c1") == [1, 2, 0]
        assert run("a2", cleanup="incremental") == [1, 0, 1]
        assert run("a2", "c1") == [0, 2, 1]
        found = store.similarity_search("a", k=9)
        assert sorted(one.page_content for one in found) == ["a2", "c1"]

        async def coroutines() -> int:
            done = await aindex(pages("a2", "d1"), records, store, cleanup="full", key_encoder="sha256")
            return done["num_added"] * 10 + done["num_deleted"]

        assert asyncio.run(coroutines()) == 11
        records.close()


def test_records(tmp_path: Path) -> None:
    one, other = KyroRecordManager("one", path=tmp_path), KyroRecordManager("other", path=tmp_path)
    assert one.exists(["a"]) == [False]
    assert one.list_keys() == []
    one.update(["a", "b"], group_ids=["g", None])
    other.update(["a"])
    between = one.get_time()
    while one.get_time() == between:
        time.sleep(0.001)
    one.update(["c"], group_ids=["h"])
    assert one.exists(["a", "x", "c"]) == [True, False, True]
    assert sorted(one.list_keys()) == ["a", "b", "c"]
    assert sorted(one.list_keys(before=between)) == ["a", "b"]
    assert one.list_keys(after=between) == ["c"]
    assert sorted(one.list_keys(group_ids=["g", "h"])) == ["a", "c"]
    assert one.list_keys(group_ids=[]) == []
    assert len(one.list_keys(limit=2)) == 2
    one.delete_keys(["a"])
    assert other.exists(["a"]) == [True]
    with pytest.raises(ValueError, match="does not match"):
        one.update(["a"], group_ids=["g", "h"])
    with pytest.raises(ValueError, match="later than the clock"):
        one.update(["a"], time_at_least=one.get_time() + 100)
    one.close()
    other.close()
