"""Collections of an embedded database: the same methods for each, and what opening without a dimension means."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.patience import wait_until

import pykyro

ONES = np.ones(4, np.float32)


def test_every_method_of_documents_is_of_its_collection(tmp_path: Path) -> None:
    with pykyro.open(tmp_path, dimension=2) as db:
        db.insert(1, [1, 0])
        texts = db.create_collection("texts", 4)
        assert db.collection("texts").name == "texts"
        texts.insert(1, ONES, {"of": "texts"})
        texts.insert_many([(2, ONES), (3, ONES)], namespace="n")
        assert texts.search(ONES, k=10).ids.tolist() == [1, 2, 3]
        assert [len(answer) for answer in texts.search_many([ONES, ONES], k=2)] == [2, 2]
        found = texts.get(1)
        assert found is not None
        assert found.metadata == {"of": "texts"}
        assert texts.get_many([1, 9])[1] is None
        assert texts.update_metadata(1, {"a": 1}, merge=True)
        assert (texts.count(), texts.count(namespace="n"), db.count()) == (3, 2, 1)
        assert [document.id for document in texts.documents()] == [1, 2, 3]
        assert len(texts.sample(2)) == 2
        assert texts.stats().dimension == 4
        assert texts.flush().documents == 3
        assert Path(texts.snapshot().path).is_dir()
        assert texts.delete(1)
        assert texts.clear() == 2
        assert texts.describe().documents == 0
        assert db.get(1) is not None
        with pytest.raises(pykyro.InvalidArgument, match="dimension"):
            texts.insert(1, [1, 2])


def test_a_database_without_a_dimension_has_the_collections_that_are_created(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as db:
        assert db.collections() == []
        for call in (db.count, db.stats, lambda: db.insert(1, ONES)):
            with pytest.raises(pykyro.FailedPrecondition, match="dimension="):
                call()
        db.create_collection("texts", 4).insert(1, ONES)
        assert db.health().status == "healthy"
        with pytest.raises(pykyro.DataDirInUse):
            pykyro.open(tmp_path)
    with pykyro.open(tmp_path, dimension=3) as db:
        assert [info.name for info in db.collections()] == ["default", "texts"]
        assert db.collection("texts").count() == 1


def test_what_is_there_is_opened_as_it_was_created(tmp_path: Path) -> None:
    with pykyro.open(tmp_path, dimension=4, distance="euclidean") as db:
        db.insert(1, ONES)
    with pykyro.open(tmp_path) as db:
        assert (db.stats().dimension, db.stats().distance) == (4, "euclidean")
    with pytest.raises(pykyro.DataDirMismatch):
        pykyro.open(tmp_path, dimension=5)


def test_names_are_looked_up_by_each_call(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as db:
        blue, green = db.create_collection("blue", 4), db.create_collection("green", 4)
        blue.insert(1, ONES)
        green.insert(2, ONES)
        db.set_alias("live", "blue")
        live = db.collection("live")
        assert live.search(ONES).ids.tolist() == [1]
        db.set_alias("live", "green")
        assert live.search(ONES).ids.tolist() == [2]
        db.rename_collection("green", "red")
        assert db.describe_collection("live").name == "red"
        assert db.update_collection("live", ef_search=90).config.ef_search == 90
        assert db.remove_alias("live")
        with pytest.raises(pykyro.NotFound, match="nearest name is 'red'"):
            db.collection("re").count()
        db.drop_collection("blue")
        with pytest.raises(pykyro.NotFound):
            blue.count()
        with pytest.raises(pykyro.AlreadyExists):
            db.create_collection("red", 4)
        db.create_collection("red", 4, exist_ok=True)


def test_a_closed_database_and_its_collections_are_refused(tmp_path: Path) -> None:
    db = pykyro.open(tmp_path)
    texts = db.create_collection("texts", 4)
    db.close()
    db.close()
    for call in (texts.count, db.collections, lambda: db.create_collection("more", 4)):
        with pytest.raises(pykyro.Unavailable, match="closed"):
            call()
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(db)
    pykyro.open(tmp_path).close()


def test_a_database_that_is_no_longer_referred_to_is_closed_with_its_collections(tmp_path: Path) -> None:
    db = pykyro.open(tmp_path, dimension=4)
    db.create_collection("texts", 4).insert(1, ONES)
    del db
    gc.collect()
    wait_until(lambda: opens(tmp_path), "the directory is let go of")
    with pykyro.open(tmp_path) as again:
        assert again.collection("texts").count() == 1


def opens(path: Path) -> bool:
    try:
        pykyro.open(path).close()
    except pykyro.DataDirInUse:
        return False
    return True


def test_many_open_collections_share_the_threads_of_the_main_thread(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as db:
        before = len(os.listdir("/proc/self/task"))
        for number in range(20):
            db.create_collection(f"c{number}", 4).insert(1, ONES)
        assert len(db._collections.open.engines()) == 20
        grown = len(os.listdir("/proc/self/task")) - before
        assert grown < 20, "the shared ones: writes, upkeep, maintenance, recall, sweeping"


def test_a_forked_child_is_told(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as db:
        texts = db.create_collection("texts", 4)
        texts.insert(1, ONES)
        child = os.fork()
        if not child:
            status = 1
            try:
                for call in (texts.count, db.collections, lambda: db.drop_collection("texts")):
                    with pytest.raises(pykyro.FailedPrecondition, match="was opened by process"):
                        call()
                db.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert texts.count() == 1
