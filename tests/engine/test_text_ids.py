"""Ids of text: a document is found by its own, whatever has the same hash, and ties are in the order of texts."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.crash.clock import FakeClock
from tests.engine.opening import DIMENSION, open_small, vectors

from pykyro.engine import read_path
from pykyro.engine.engine import Engine
from pykyro.engine.options import CacheOptions
from pykyro.engine.state import State
from pykyro.engine.text_ids import TextKeys
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.model.errors import DataDirMismatch, KyroError
from pykyro.model.expiry import Expiry
from pykyro.model.filter import Exact
from pykyro.model.filter_dict import parse_filter
from pykyro.model.listing import PageRequest, next_page_token, parse_page_token
from pykyro.model.metadata_wire import text_id_in
from pykyro.model.requests import (
    Delete,
    DeleteMany,
    DeleteMatching,
    Operation,
    Put,
    SearchRequest,
    SearchResult,
    UpdateMetadata,
)
from pykyro.model.types import EVERYTHING, NAMESPACE_KEY, TENANT_INDEX_KEY, TEXT_ID_KEY, Document, Scope
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest

CACHE = CacheOptions(documents_max=6)
"""Lookups are answered from the cache of documents too."""
TEXTS = [f"text {number}" for number in range(12)]


@pytest.fixture
def few_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four hashes for all texts, so that nearly all of them are in chains."""
    monkeypatch.setattr(TextKeys, "hash_bits", 2)
    monkeypatch.setattr(TextKeys, "gapped_places", len(TEXTS))


def put(text: str, number: int, *, tenant: int | None = None, namespace: str = "") -> Put:
    vector = np.full(DIMENSION, 1 + number, np.float32)
    metadata = {"n": str(number), TEXT_ID_KEY: text}
    if tenant is not None:
        metadata[TENANT_INDEX_KEY] = str(tenant)
    if namespace:
        metadata[NAMESPACE_KEY] = namespace
    return Put(Document(0, vector, metadata, tenant))


def everything(engine: Engine, scope: Scope = EVERYTHING) -> dict[str, tuple[str, float]]:
    """By text id what each document has, as a listing shows it."""
    page = engine.listing.page(PageRequest(1000, scope=scope, include_vectors=True))
    found = {
        text_id_in(one.metadata_wire): (one.metadata["n"], float(one.vector[0])) for one in page.documents
    }
    assert len(found) == len(page.documents) == engine.listing.count(None, scope)[0]
    return found


def check(engine: Engine, expected: dict[str, tuple[str, float]], scope: Scope = EVERYTHING) -> None:
    assert everything(engine, scope) == expected
    for text in TEXTS:
        found = engine.get(text, scope)
        assert engine.listing.count(Exact(TEXT_ID_KEY, text), scope)[0] == (text in expected)
        if text in expected:
            assert found is not None
            assert text_id_in(found.metadata_wire) == text
            assert (found.metadata["n"], float(found.vector[0])) == expected[text]
        else:
            assert found is None


def steps() -> st.SearchStrategy[list[list[tuple[str, list[str], int]]]]:
    step = st.tuples(
        st.sampled_from(["put", "delete", "delete many", "matching", "update", "merge", "seal", "reopen"]),
        st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4),
        st.integers(0, 5),
    )
    return st.lists(st.lists(step, min_size=1, max_size=5), max_size=12)


@pytest.mark.usefixtures("few_hashes")
@settings(max_examples=30, deadline=None)
@given(steps())
def test_a_collection_of_texts_is_a_dict_whatever_collides(
    groups: list[list[tuple[str, list[str], int]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        engine = open_small(Path(name) / "data", text_ids=True, cache=CACHE)
        expected: dict[str, tuple[str, float]] = {}
        try:
            for group in groups:
                operations = [operation for step in group for operation in _operations(step, expected)]
                answers = engine.commit(operations)
                assert not [answer for answer in answers if isinstance(answer, KyroError)]
                if ("seal") in {kind for kind, _, _ in group}:
                    engine.flush()
                    engine.maintain()
                if "reopen" in {kind for kind, _, _ in group}:
                    engine.close()
                    engine = open_small(Path(name) / "data", text_ids=True, cache=CACHE)
                check(engine, expected)
        finally:
            engine.close()


@pytest.mark.usefixtures("few_hashes")
@pytest.mark.parametrize("sealed", [True, False])
def test_what_expires_in_a_chain_hides_none_behind_it(tmp_path: Path, sealed: bool) -> None:
    clock = FakeClock(tick_us=0)
    engine = open_small(tmp_path / "data", text_ids=True, cache=CACHE, clock=clock)
    expected = {text: (str(number), 1.0 + number) for number, text in enumerate(TEXTS)}
    for number, text in enumerate(TEXTS):
        engine.write(replace(put(text, number), expiry=Expiry(ttl_us=1) if number % 2 == 0 else None))
    if sealed:
        engine.flush()
    clock.advance(1)
    for text in TEXTS[::2]:
        del expected[text]
    check(engine, expected)
    engine.close()
    engine = open_small(tmp_path / "data", text_ids=True, cache=CACHE, clock=clock)
    check(engine, expected)
    for number, text in enumerate(TEXTS):
        assert engine.write(put(text, number)).existed == (text in expected)
        expected[text] = str(number), 1.0 + number
    check(engine, expected)
    for text in TEXTS[::3]:
        assert engine.write(Delete(text)).existed
        del expected[text]
        check(engine, expected)
    engine.close()


def _operations(
    step: tuple[str, list[str], int], expected: dict[str, tuple[str, float]]
) -> Iterator[Operation]:
    """What a step asks of the engine; `expected` is changed to what it leaves."""
    kind, texts, number = step
    if kind == "put":
        for text in texts:
            expected[text] = str(number), 1.0 + number
            yield put(text, number)
    elif kind == "delete":
        expected.pop(texts[0], None)
        yield Delete(texts[0])
    elif kind == "delete many":
        for text in texts:
            expected.pop(text, None)
        yield DeleteMany(texts)
    elif kind == "matching":
        for text in [text for text, (n, _) in expected.items() if n == str(number)]:
            del expected[text]
        yield DeleteMatching(Exact("n", str(number)))
    elif kind in ("update", "merge"):
        if texts[0] in expected:
            expected[texts[0]] = str(number), expected[texts[0]][1]
        yield UpdateMetadata(texts[0], {"n": str(number)}, merge=kind == "merge")


@pytest.mark.usefixtures("few_hashes")
def test_a_text_id_is_of_its_tenant(tmp_path: Path) -> None:
    engine = open_small(tmp_path, text_ids=True)
    indices = engine.tenant_indices(["acme", "beta"])
    scopes = [Scope(), *(Scope(index) for index in indices.values())]
    for number, scope in enumerate(scopes):
        for text in TEXTS:
            engine.write(put(text, number, tenant=scope.tenant))
    engine.write(DeleteMany(TEXTS[::2], scopes[1]))
    engine.write(Delete(TEXTS[1], Scope(scopes[2].tenant, "elsewhere")))
    engine.close()
    engine = open_small(tmp_path)
    for number, scope in enumerate(scopes):
        here = TEXTS[1::2] if number == 1 else TEXTS
        check(engine, {text: (str(number), 1.0 + number) for text in here}, scope)
    engine.close()


@pytest.mark.usefixtures("few_hashes")
def test_a_namespace_keeps_documents_of_another_from_being_deleted(tmp_path: Path) -> None:
    engine = open_small(tmp_path, text_ids=True)
    for at, text in enumerate(TEXTS):
        engine.write(put(text, at, namespace="even" if at % 2 == 0 else "odd"))
    assert engine.write(DeleteMany(TEXTS, Scope(namespace="even"))).existed == 6
    check(engine, {text: (str(at), 1.0 + at) for at, text in enumerate(TEXTS) if at % 2})
    engine.close()


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("mode", ["scan", "graph"])
def test_equal_scores_are_in_the_order_of_texts(tmp_path: Path, sealed: bool, mode: str) -> None:
    """Also which of them are in an answer that is cut among them."""
    engine = open_small(tmp_path, text_ids=True, hot_rows_max=100_000)
    rows = vectors(1500, seed=1)
    rows[:200] = rows[0]
    texts = [f"{number:04x}" for number in np.random.default_rng(2).permutation(len(rows))]
    engine.commit([Put(Document(0, row, {TEXT_ID_KEY: text})) for text, row in zip(texts, rows, strict=True)])
    if sealed:
        engine.flush()
    expected = sorted(texts[:200])[:30]
    request = SearchRequest(rows[0], 30, exact=mode == "scan", include_metadata=False)
    assert names(engine.search(request)) == expected
    engine.close()


def test_a_cached_answer_has_the_order_of_texts(tmp_path: Path) -> None:
    engine = open_small(tmp_path, text_ids=True)
    rows = vectors(60, seed=1)
    rows[:8] = rows[0]
    texts = [f"{number:02d}" for number in np.random.default_rng(2).permutation(len(rows))]
    engine.commit([Put(Document(0, row, {TEXT_ID_KEY: text})) for text, row in zip(texts, rows, strict=True)])
    found = [engine.search(SearchRequest(rows[0], 12, include_metadata=False)) for _ in range(3)]
    assert found[-1].cached is not None
    assert names(found[-1]) == names(found[0])
    assert names(found[0])[:8] == sorted(texts[:8])
    engine.close()


def test_a_filter_may_name_text_ids(tmp_path: Path) -> None:
    engine = open_small(tmp_path, text_ids=True)
    engine.commit([put(f"a/{number}", number) for number in range(90)])
    for _ in range(2):  # from the hot tier, then from a segment too
        condition = parse_filter({"__id__": {"$prefix": "a/1"}})
        assert engine.listing.count(condition, EVERYTHING)[0] == 11
        engine.write(put("a/1", 0))
        assert engine.listing.count(condition, EVERYTHING)[0] == 11
        assert engine.write(DeleteMatching(parse_filter({"__id__": {"$gte": "a/9"}}))).existed == 1
        engine.write(put("a/9", 0))
        engine.flush()
    engine.close()


@pytest.mark.parametrize("descending", [False, True])
def test_pages_are_in_the_order_of_texts(tmp_path: Path, descending: bool) -> None:
    texts = ["10", "9", "b", "B", "é", "\U0001f600", "a" * 512, "-1", "x y", *(f"n{at}" for at in range(40))]
    engine = open_small(tmp_path / "data", text_ids=True)
    for at, text in enumerate(texts):
        engine.write(put(text, at))
        if at in (10, 30):
            engine.flush()
    found, request = list[str](), PageRequest(7, descending=descending, include_metadata=False)
    while True:
        page = engine.listing.page(request)
        found += [text_id_in(one.metadata_wire) for one in page.documents]
        if not (token := next_page_token(page, request)):
            break
        after, after_value = parse_page_token(token, descending=descending)
        request = replace(request, after=after, after_value=after_value)
    assert found == sorted(texts, reverse=descending)
    engine.close()


def names(result: SearchResult) -> list[str]:
    return [text_id_in(hit.metadata_wire) for hit in result.hits]


def interrupted(
    monkeypatch: pytest.MonkeyPatch, kind: type, method: str, write: Callable[[], object], *, after: int
) -> None:
    """Have `write` done between two calls of a method: once it was called so many times."""
    original, calls = getattr(kind, method), itertools.count(1)

    def called(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        if next(calls) == after:
            write()
        return found

    monkeypatch.setattr(kind, method, called)


def one_chain(path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine with a document of each of TEXTS, the last at the end of the chain that all are in."""
    monkeypatch.setattr(TextKeys, "hash_bits", 0)
    engine = open_small(path, text_ids=True)
    engine.commit([put(text, 1) for text in TEXTS])
    return engine


def test_a_document_is_found_while_it_moves_within_its_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = one_chain(tmp_path, monkeypatch)
    interrupted(monkeypatch, State, "find", lambda: engine.write(Delete(TEXTS[0])), after=3)
    assert engine.get(TEXTS[-1]) is not None
    assert engine.get(TEXTS[0]) is None
    engine.close()


@pytest.mark.parametrize("attempts", [1, 4])
def test_a_document_is_in_an_answer_once_while_it_moves_within_its_chain(
    attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the search is done again or not; the document is changed too when it is."""
    engine = one_chain(tmp_path, monkeypatch)
    engine.flush()
    monkeypatch.setattr(read_path, "_ATTEMPTS", attempts)
    group: list[Operation] = [Delete(TEXTS[0])]
    if attempts > 1:
        group.append(Put(Document(0, np.arange(DIMENSION, dtype=np.float32), {TEXT_ID_KEY: TEXTS[-1]})))
    interrupted(monkeypatch, ColdSegment, "search_many", lambda: engine.commit(group), after=1)
    found = names(engine.search(SearchRequest(np.ones(DIMENSION, np.float32), 100, ef_search=50)))
    assert sorted(set(found) | {TEXTS[0]}) == sorted(TEXTS)
    assert len(found) == len(set(found))
    engine.close()


def test_a_directory_keeps_the_type_of_its_ids(tmp_path: Path) -> None:
    open_small(tmp_path / "texts", text_ids=True).close()
    open_small(tmp_path / "numbers").close()
    with pytest.raises(DataDirMismatch, match="of type text; asked for integer"):
        open_small(tmp_path / "texts", text_ids=False)
    with pytest.raises(DataDirMismatch, match="of type integer; asked for text"):
        open_small(tmp_path / "numbers", text_ids=True)
    engine = open_small(tmp_path / "texts")
    assert engine.schema.text_ids
    engine.close()
    known = [read_manifest(LocalFileSystem(), tmp_path / name) for name in ("numbers", "texts")]
    assert [manifest.format for manifest in known] == [1, 4]
