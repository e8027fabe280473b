"""Collections are opened on first use, stay open while they are in use, and are closed when they are idle."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.database.opening import SMALL, found, found_in, opened, shut, store
from tests.patience import PATIENCE_S, wait_until

from pykyro.model.errors import FailedPrecondition, NotFound, Unavailable


def test_concurrent_first_uses_open_it_once(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    store(collections, "texts", 1)
    shut(collections)
    again, count = opened(tmp_path), 8
    together = threading.Barrier(count)

    def use(_: int) -> list[int]:
        together.wait(PATIENCE_S)
        return found(again, "texts")

    with ThreadPoolExecutor(count) as pool:
        assert list(pool.map(use, range(count))) == [[1]] * count
    assert again.open.opened_total == 1
    shut(again)


def test_idle_ones_are_closed_and_sealed_and_opened_again(tmp_path: Path) -> None:
    collections = opened(tmp_path, idle_s=0.05)
    collections.create("texts", SMALL)
    store(collections, "texts", 1, 2)
    wait_until(lambda: not collections.open.engines())
    assert collections.list()[1].documents == 2, "what was not sealed is sealed before it is closed"
    store(collections, "texts", 3)
    assert found(collections, "texts") == [1, 2, 3]
    shut(collections)


def test_one_that_is_used_stays_open_however_many_there_are(tmp_path: Path) -> None:
    collections = opened(tmp_path, open_max=2)
    for number in range(6):
        collections.create(f"c{number}", SMALL)
    with collections.using("c0") as engine:
        for number in range(1, 6):
            store(collections, f"c{number}", number)
        wait_until(lambda: len(collections.open.engines()) <= 2)
        assert found_in(engine) == []
        assert 1 in collections.open.engines()
    assert [found(collections, f"c{number}") for number in range(1, 6)] == [[1], [2], [3], [4], [5]]
    shut(collections)


def test_dropping_waits_for_those_who_use_it_and_lets_nobody_in(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    store(collections, "texts", 1)
    number = collections.number_of("texts")
    with collections.using("texts") as engine:
        dropping = threading.Thread(target=collections.drop, args=("texts",))
        dropping.start()
        wait_until(lambda: collections.names() == ["default"])
        with pytest.raises(NotFound):
            found(collections, "texts")
        with pytest.raises(NotFound):
            collections.pin(number)
        assert found_in(engine) == [1]
        assert engine.directory.exists()
    dropping.join(PATIENCE_S)
    assert not engine.directory.exists()
    shut(collections)


def test_a_closed_database_opens_none(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    shut(collections)
    with pytest.raises(Unavailable, match="closed"):
        found(collections, "texts")


def test_an_idle_collection_has_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    collections = opened(tmp_path, idle_s=0.0)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        collections.create(f"c{number}", SMALL)
        store(collections, f"c{number}", 1)
    wait_until(lambda: not collections.open.engines())
    assert len(os.listdir("/proc/self/fd")) <= before
    shut(collections)
    wait_until(lambda: "kyrodb-collections" not in {thread.name for thread in threading.enumerate()})


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    collections = opened(tmp_path)
    collections.create("texts", SMALL)
    store(collections, "texts", 1)
    child = os.fork()
    if not child:
        status = 1
        try:
            for call in (lambda: found(collections, "texts"), lambda: collections.drop("texts")):
                with pytest.raises(FailedPrecondition, match="was opened by process"):
                    call()
            collections.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert found(collections, "texts") == [1]
    shut(collections)
