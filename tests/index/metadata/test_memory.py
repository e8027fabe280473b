"""What the index of the hot tier says it takes is what it takes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pyroaring import FrozenBitMap
from tests.model.values import kept

from pykyro.config.settings.memory import metadata_need
from pykyro.index.metadata.bitmaps import from_rows, size_bytes
from pykyro.index.metadata.frozen_index import FrozenMetadataIndex
from pykyro.index.metadata.mutable_index import MutableMetadataIndex
from pykyro.index.metadata.sections import build_sections
from pykyro.model.filter import Exact, Range
from pykyro.model.types import TEXT_ID_KEY
from pykyro.system.memory import anonymous_bytes

Documents = Callable[[], Iterator[dict[str, str]]]


def keys_of_their_own() -> Iterator[dict[str, str]]:
    """Each document has keys that no other has."""
    for row in range(60):
        yield {f"key-{row}-{number}": f"v{number}" for number in range(1000)}


def keys_of_a_few() -> Iterator[dict[str, str]]:
    """Each key is on some documents: tuples, and columns that are small."""
    for row in range(1000):
        yield {f"key-{row // size}-{size}": f"value {row % 7}" for size in range(1, 13)}


def catalogue() -> Iterator[dict[str, str]]:
    """The usual: the same keys everywhere, some values shared, some unique, numbers among them."""
    for row in range(8000):
        yield {
            "source": f"source number {row % 20}",
            "id": f"doc-{row}",
            "price": f"{row * 0.37:.2f}",
            "active": "true",
            "year": str(1990 + row % 40),
        }


def text_ids() -> Iterator[dict[str, str]]:
    """Ids of text, which are gathered until they are asked for."""
    for row in range(8000):
        yield {TEXT_ID_KEY: f"{row * 7919:032x}"}


def long_texts() -> Iterator[dict[str, str]]:
    for row in range(500):
        yield {"text": f"{row} " + "abcdé" * 2000, "wide": f"{row} " + "Ā" * 300}


def values_with_types() -> Iterator[dict[str, str]]:
    for row in range(4000):
        entries = {"n": row, "price": row / 8, "active": row % 2 == 0, "tags": [f"t{row % 9}", row % 7]}
        yield kept(
            {**entries, "author": {"name": f"author {row % 50}", "year": 1900 + row % 90}, "text": "x"}
        )


@pytest.mark.parametrize(
    "documents", [keys_of_their_own, keys_of_a_few, catalogue, text_ids, long_texts, values_with_types]
)
@pytest.mark.parametrize("asked", [False, True], ids=["not asked", "asked"])
def test_the_size_is_right_within_15_percent(documents: Documents, asked: bool) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        index = MutableMetadataIndex(cache_bytes=0)
        before = tracemalloc.get_traced_memory()[0]
        for row, metadata in enumerate(documents()):
            index.add(row, metadata)
            if asked and row == 400:
                for key in metadata:
                    index.match(Range(key, "gt", "a"))
        del metadata
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert index.size_bytes == pytest.approx(taken, rel=0.15)


def test_a_key_that_one_document_has_costs_little() -> None:
    index = MutableMetadataIndex()
    for row, metadata in enumerate(keys_of_their_own()):
        index.add(row, metadata)
    assert index.size_bytes < 300 * 60_000


@pytest.mark.parametrize(("count", "spread"), [(1, 1), (1000, 90), (100, 60_000), (5000, 9)])
def test_the_size_of_a_set_is_right(count: int, spread: int) -> None:
    rows = np.arange(count, dtype=np.uint32) * spread
    copies = max(300, 4_000_000 // (count * 4 + 200))
    held: list[FrozenBitMap | None] = [None] * copies
    before = anonymous_bytes()
    for at in range(copies):
        held[at] = from_rows(rows)
    taken = anonymous_bytes() - before
    one = held[0]
    assert one is not None
    # The allocator may have had some of it already.
    assert taken <= 1.3 * size_bytes(one) * copies


@pytest.mark.parametrize("keys", [1, 300, 4000, 9000])
def test_the_index_of_a_segment_takes_little_whatever_it_holds(keys: int) -> None:
    sections = build_sections(({f"key {key}": str(key)} for key in range(keys)), keys)
    gc.collect()
    tracemalloc.start()
    try:
        index = FrozenMetadataIndex(sections, keys, cache_bytes=0)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert list(index.match(Exact(f"key {keys - 1}", str(keys - 1)))) == [keys - 1]
    assert list(index.match(Exact("key", ""))) == []
    assert index.size_bytes == pytest.approx(taken, rel=0.15, abs=8 << 10)
    assert index.size_bytes < 1 << 20


@pytest.mark.parametrize("documents", [keys_of_their_own, catalogue, long_texts])
def test_the_formula_for_operators_is_right_within_15_percent(documents: Documents) -> None:
    index, known, postings = MutableMetadataIndex(), set[tuple[str, str]](), 0
    for row, metadata in enumerate(documents()):
        index.add(row, metadata)
        known.update(metadata.items())
        postings += len(metadata)
    keys, text_bytes = len({key for key, _ in known}), sum(len(value) for _, value in known)
    need = metadata_need(keys, len(known), postings, text_bytes)
    assert need == pytest.approx(index.size_bytes, rel=0.15)
