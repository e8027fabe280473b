"""Values with types in the engine: what raises the format of the directory, and what every tier finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.opening import nearest, open_small, settle, vectors
from tests.model.values import filters, kept, metadata

from pykyro.engine.engine import Engine
from pykyro.model.errors import InvalidArgument, Unavailable, WriteFailed
from pykyro.model.filter import Filter, matches, strict
from pykyro.model.filter_dict import parse_filter
from pykyro.model.requests import DeleteMatching, Put, SearchRequest, UpdateMetadata
from pykyro.model.typed_filter import Among
from pykyro.model.typed_text import tags_of
from pykyro.model.types import EVERYTHING, Document
from pykyro.storage.manifest_store import ManifestStore

ROWS = vectors(40)


def put(doc_id: int, entries: dict[str, Any]) -> Put:
    return Put(Document(doc_id, ROWS[doc_id], kept(entries)))


def format_of(directory: Path) -> int:
    return int((directory / "MANIFEST").read_bytes().split()[1])


def stored(engine: Engine, doc_id: int) -> dict[str, str]:
    found = engine.get(doc_id)
    assert found is not None
    return found.metadata


def test_the_first_value_that_is_not_text_raises_the_format(tmp_path: Path) -> None:
    data = tmp_path / "data"
    engine = open_small(data)
    engine.write(put(1, {"a": "x", "n": "7"}))
    # The two bytes before the tags, in a text: no reason to raise anything.
    engine.write(put(2, {"a": "Ѣ\x06"}))
    assert b"\xa2\x06" in "Ѣ\x06".encode()
    assert format_of(data) == 1
    engine.write(UpdateMetadata(1, kept({"n": 7}), merge=True))
    assert format_of(data) == 3
    for _ in range(2):  # from memory and from the log, then from a segment
        assert tags_of(stored(engine, 1)) == "ti"
        assert tags_of(stored(engine, 2)) == ""
        engine.close()
        engine = open_small(data)
        assert format_of(data) == 3
        engine.flush()
    engine.close()


def test_a_format_that_cannot_be_raised_refuses_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small(tmp_path / "data", breaker_cooldown_s=0.0)
    engine.write(put(1, {"a": "x"}))
    position = engine.stats().position

    def refuse(*_: object) -> None:
        raise OSError(5, "the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(ManifestStore, "update", refuse)
        with pytest.raises((WriteFailed, Unavailable)):
            engine.write(put(2, {"a": 1}))
    assert engine.stats().position == position
    assert engine.get(2) is None
    engine.write(put(2, {"a": 1}))
    assert format_of(tmp_path / "data") == 3
    engine.close()


@pytest.mark.parametrize("typed_values", [False, True])
def test_a_database_says_whether_its_values_have_types(tmp_path: Path, typed_values: bool) -> None:
    engine = open_small(tmp_path / "data", typed_values=typed_values)
    engine.write(put(1, {"n": "10"}))
    engine.write(put(2, {"n": 10}))
    engine.write(put(3, {"n": "zebra"}))
    loose = [] if typed_values else [1, 3]
    for _ in range(3):  # the third time from the query cache
        found = nearest(engine, ROWS[0], filter=parse_filter({"n": {"$gt": 9}}))
        assert sorted(found) == sorted([2, *loose])
        assert sorted(nearest(engine, ROWS[0], filter=parse_filter({"n": "10"}))) == [1]
    # Cached answers learn of new documents by the same rule.
    engine.write(put(4, {"n": "11"}))
    engine.write(put(5, {"n": 11.5}))
    found = nearest(engine, ROWS[0], filter=parse_filter({"n": {"$gt": 9}}))
    assert sorted(found) == sorted([2, 5, *loose, *([] if typed_values else [4])])
    deleted = engine.write(DeleteMatching(parse_filter({"n": {"$gt": 9}}), EVERYTHING)).existed
    assert deleted == (2 if typed_values else 5)
    engine.close()


def test_a_deletion_sees_what_its_own_group_has_written(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, {"tags": ["a", 1]}))
    deletion = DeleteMatching(parse_filter({"tags": 1.0}), EVERYTHING)
    engine.commit([put(2, {"tags": [1]}), put(3, {"tags": "1.0"}), put(1, {"tags": []}), deletion])
    assert [doc_id for doc_id in (1, 2, 3) if engine.get(doc_id) is not None] == [1, 3]
    engine.close()


@settings(max_examples=25)
@given(
    st.lists(metadata, min_size=1, max_size=30),
    st.lists(filters, min_size=1, max_size=3),
    st.booleans(),
    st.integers(1, 10),
)
def test_every_tier_finds_what_the_definition_says(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    conditions: list[Filter],
    typed_values: bool,
    sealed_each: int,
) -> None:
    engine = open_small(tmp_path_factory.mktemp("engine") / "data", typed_values=typed_values)
    for at, entries in enumerate(rows):
        engine.write(Put(Document(at + 1, ROWS[at], entries)))
        if at % sealed_each == 0 and at < 4:
            engine.flush()
    for _ in range(2):  # before merging and after
        for condition in conditions:
            meant = strict(condition) if typed_values else condition
            expected = {at + 1 for at, entries in enumerate(rows) if matches(meant, entries)}
            result = engine.search(SearchRequest(ROWS[0], 40, filter=condition, exact=True))
            assert {hit.doc_id for hit in result.hits} == expected
            for hit in result.hits:
                assert hit.metadata == rows[hit.doc_id - 1]
                assert tags_of(hit.metadata) == tags_of(rows[hit.doc_id - 1])
        engine.flush()
        settle(engine)
    engine.close()


def test_a_merge_changes_the_type_of_a_value(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    for filler in ("", "x" * 5000):  # put together at once, and laid over the document
        engine.write(put(1, {"n": "7", "filler": filler}))
        for value in (7, "7", 7.0, [7], "7"):
            engine.write(UpdateMetadata(1, kept({"n": value}), merge=True))
            assert tags_of(stored(engine, 1)) == tags_of(kept({"filler": filler, "n": value}))
            found = nearest(engine, ROWS[0], filter=strict(parse_filter({"n": 7})))
            assert found == ([] if value == "7" else [1])
            assert nearest(engine, ROWS[0], filter=parse_filter({"n": "7"})) == ([1] if value == "7" else [])
    engine.close()


@pytest.mark.parametrize("sealed_before", [0, 1, 2, 3])
def test_a_merge_takes_the_last_value_that_is_not_text_away(tmp_path: Path, sealed_before: int) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, {"a": "a", "b": "", "filler": "x" * 5000}))
    values: list[dict[str, Any]] = [{"n": []}, {"n": [7], "m": {"at": 7}}, {"n": "", "m": ""}, {"a": "b"}]
    for number, value in enumerate(values):
        if number == sealed_before:
            engine.flush()
        engine.write(UpdateMetadata(1, kept({**value, "longer": "y" * 100 * number}), merge=True))
    for path in ("n", "m.at"):
        for condition in ({path: 7}, {path: {"$exists": True}}, {path: {"$in": [7, []]}}):
            expected = {1} if path == "n" and "$exists" in str(condition) else set()
            assert found_ids(engine, strict(parse_filter(condition))) == expected
    assert found_ids(engine, Among("n", ("l[]",), strict=False)) == set()
    engine.close()


def test_merges_stay_within_the_elements_a_document_may_have(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, {"a": list(range(4000))}))
    with pytest.raises(InvalidArgument, match="4100 elements of lists and entries of dicts, 4000 before"):
        engine.write(UpdateMetadata(1, kept({"b": list(range(100))}), merge=True))
    engine.write(UpdateMetadata(1, kept({"a": [], "b": list(range(100))}), merge=True))
    engine.close()


@settings(max_examples=40)
@given(
    st.lists(metadata, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), metadata), max_size=12),
    st.lists(filters, min_size=1, max_size=3),
    st.integers(0, 5),
)
def test_large_documents_that_were_merged_into_match_as_a_whole(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    merges: list[tuple[int, dict[str, str]]],
    conditions: list[Filter],
    sealed_after: int,
) -> None:
    engine = open_small(tmp_path_factory.mktemp("merges") / "data")
    documents = [{**entries, "filler": "x" * 5000} for entries in rows]
    for at, entries in enumerate(documents):
        engine.write(Put(Document(at + 1, ROWS[at], entries)))
    for number, (at, changes) in enumerate(merges):
        if number == sealed_after:
            engine.flush()
        if at < len(documents):
            engine.write(UpdateMetadata(at + 1, changes, merge=True))
            documents[at] = {**documents[at], **changes}
        for condition in conditions if number % 4 == 3 else ():
            assert found_ids(engine, condition) == matching(documents, condition)
    for condition in conditions:
        assert found_ids(engine, condition) == matching(documents, condition)
    for at, entries in enumerate(documents):
        assert stored(engine, at + 1) == entries
        assert tags_of(stored(engine, at + 1)) == tags_of(entries)
    engine.close()


def found_ids(engine: Engine, condition: Filter) -> set[int]:
    result = engine.search(SearchRequest(ROWS[0], 40, filter=condition, exact=True))
    return {hit.doc_id for hit in result.hits}


def matching(documents: list[dict[str, str]], condition: Filter) -> set[int]:
    return {at + 1 for at, entries in enumerate(documents) if matches(condition, entries)}
