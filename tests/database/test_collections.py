"""Which collections there are, under which names, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.database.opening import SMALL, found, opened, shut, store

from pykyro.database.collections import Collections
from pykyro.model.collection import CollectionConfig, checked_changes, checked_config
from pykyro.model.errors import AlreadyExists, DataDamaged, InvalidArgument, NotFound
from pykyro.model.types import Metric
from pykyro.storage import filename


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[Collections]:
    made = opened(tmp_path)
    yield made
    shut(made)


def test_each_collection_has_documents_of_its_own_and_a_schema_of_its_own(collections: Collections) -> None:
    assert collections.create("pictures", CollectionConfig(7, Metric.EUCLIDEAN, ef_search=20))
    assert collections.create("texts", SMALL)
    store(collections, "", 1)
    store(collections, "pictures", 1, 2)
    store(collections, "texts", 3)
    assert [found(collections, name) for name in ("default", "pictures", "texts")] == [[1], [1, 2], [3]]
    assert collections.names() == ["default", "pictures", "texts"]
    info = collections.describe("pictures")
    assert info.config == CollectionConfig(7, Metric.EUCLIDEAN, ef_search=20)
    assert (info.documents, info.is_open, info.trouble) == (2, True, "")
    assert info.size_bytes
    with collections.using("pictures") as engine:
        assert engine.ef_search == 20


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.create("texts", SMALL)
    first.set_alias("current", "texts")
    store(first, "current", 5, 6)
    created_us = first.describe("texts").created_us
    shut(first)
    second = opened(tmp_path)
    assert not second.open.engines()
    assert found(second, "current") == [5, 6]
    info = second.describe("current")
    assert (info.name, info.aliases, info.created_us) == ("texts", ("current",), created_us)
    shut(second)


def test_a_name_that_is_taken_or_unknown_is_refused_with_the_way_out(collections: Collections) -> None:
    collections.create("texts", SMALL)
    collections.set_alias("old", "texts")
    for taken in ("texts", "old", "default"):
        with pytest.raises(AlreadyExists, match=f"{taken}' is taken"):
            collections.create(taken, SMALL)
    with pytest.raises(AlreadyExists):
        collections.rename("texts", "old")
    with pytest.raises(AlreadyExists, match="a collection is called 'texts'"):
        collections.set_alias("texts", "default")
    with pytest.raises(NotFound, match="'text' does not exist; the nearest name is 'texts'"):
        collections.number_of("text")
    with pytest.raises(NotFound, match="create it first"):
        collections.drop("zzz")
    for name in ("", "-a", "a/b", "ü", "x" * 129, "..", "a b"):
        with pytest.raises(InvalidArgument, match="name must be 1 to 128"):
            collections.create(name, SMALL)
    assert collections.create("x" * 128, SMALL)


def test_creating_what_is_there_is_allowed_when_it_is_the_same(collections: Collections) -> None:
    collections.create("texts", SMALL)
    store(collections, "texts", 1)
    assert not collections.create("texts", SMALL, exist_ok=True)
    assert not collections.create("default", SMALL, exist_ok=True)
    with pytest.raises(InvalidArgument, match="has dimension 4 and distance cosine; asked for dimension 5"):
        collections.create("texts", CollectionConfig(5), exist_ok=True)
    assert found(collections, "texts") == [1]


def test_an_alias_is_set_to_another_collection_at_one_stroke(collections: Collections) -> None:
    collections.create("monday", SMALL)
    collections.create("tuesday", SMALL)
    store(collections, "monday", 1)
    store(collections, "tuesday", 2)
    collections.set_alias("today", "monday")
    assert found(collections, "today") == [1]
    collections.set_alias("today", "tuesday")
    assert found(collections, "today") == [2]
    collections.set_alias("first", "default")
    assert collections.number_of("first") == 0
    assert collections.remove_alias("today")
    assert not collections.remove_alias("today")
    assert collections.names() == ["default", "monday", "tuesday"]


def test_a_renamed_collection_keeps_documents_aliases_and_users(collections: Collections) -> None:
    collections.create("old", SMALL)
    collections.set_alias("alias", "old")
    store(collections, "old", 1)
    with collections.using("old") as engine:
        collections.rename("old", "new")
        assert engine.documents == 1
    assert found(collections, "new") == found(collections, "alias") == [1]
    with pytest.raises(NotFound):
        collections.number_of("old")
    assert collections.create("old", SMALL)
    assert found(collections, "old") == []


def test_a_dropped_collection_leaves_no_file_and_no_name(tmp_path: Path, collections: Collections) -> None:
    collections.create("texts", SMALL)
    collections.set_alias("alias", "texts")
    store(collections, "texts", *range(1, 50))
    with collections.using("texts") as engine:
        directory = engine.directory
        engine.snapshot()
    assert directory.is_dir()
    collections.drop("texts")
    assert not directory.exists()
    for name in ("texts", "alias"):
        with pytest.raises(NotFound):
            collections.number_of(name)
    collections.create("texts", SMALL)
    assert found(collections, "texts") == []
    with collections.using("texts") as engine:
        assert engine.directory != directory, "numbers are never used twice"


def test_default_and_aliases_cannot_be_dropped_or_renamed(collections: Collections) -> None:
    collections.create("texts", SMALL)
    collections.set_alias("alias", "texts")
    with pytest.raises(InvalidArgument, match="'default' cannot be dropped"):
        collections.drop("default")
    with pytest.raises(InvalidArgument, match="'default' cannot be renamed"):
        collections.rename("default", "other")
    with pytest.raises(InvalidArgument, match="'alias' is an alias"):
        collections.drop("alias")


def test_ef_search_changes_at_once_and_for_good(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    with collections.using("texts") as engine:
        assert collections.update("texts", checked_changes(77)).config.ef_search == 77
        assert engine.ef_search == 77
    with pytest.raises(InvalidArgument, match=r"hnsw\.ef_search"):
        collections.update("default", checked_changes(77))
    with pytest.raises(InvalidArgument, match="ef_search must be"):
        collections.update("texts", checked_changes(0))
    shut(collections)
    again = opened(tmp_path)
    with again.using("texts") as engine:
        assert engine.ef_search == 77
    shut(again)


def test_a_configuration_that_cannot_be_is_refused_with_its_name() -> None:
    with pytest.raises(InvalidArgument, match="dimension must be >= 1"):
        checked_config(0)
    with pytest.raises(InvalidArgument, match="distance must be one of"):
        checked_config(4, "manhattan")
    with pytest.raises(InvalidArgument, match="id_type must be one of integer"):
        checked_config(4, id_type="uuid")
    with pytest.raises(InvalidArgument, match="m must be"):
        checked_config(4, m=1)


def test_a_closed_collection_tells_its_documents_without_being_opened(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("sealed", SMALL)
    collections.create("unsealed", SMALL)
    store(collections, "sealed", 1, 2, 3)
    with collections.using("sealed") as engine:
        engine.flush()
    store(collections, "unsealed", 1)
    shut(collections)
    again = opened(tmp_path)
    assert {info.name: info.documents for info in again.list()} == {
        "default": 0,
        "sealed": 3,
        "unsealed": None,
    }
    assert not again.open.engines()
    assert again.describe("unsealed").documents == 1
    shut(again)


def test_files_that_are_missing_are_damage_and_not_an_empty_collection(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    shut(collections)
    (tmp_path / filename.COLLECTIONS / "1" / filename.MANIFEST).unlink()
    again = opened(tmp_path)
    with pytest.raises(DataDamaged, match="files of a collection are missing"):
        found(again, "texts")
    assert "files of a collection are missing" in again.troubles()["texts"]
    assert found(again, "default") == []
    again.drop("texts")
    assert again.troubles() == {}
    shut(again)


def test_a_damaged_catalogue_is_refused(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    shut(collections)
    path = tmp_path / filename.CATALOGUE
    path.write_bytes(path.read_bytes().replace(b"texts", b"taxts"))
    with pytest.raises(DataDamaged, match="does not match its digest"):
        opened(tmp_path)
