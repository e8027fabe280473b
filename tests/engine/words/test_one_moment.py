"""Searches by words beside writes, seals and merges: each shows one position."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.engine.opening import open_small, put, vectors
from tests.engine.words.oracle import Oracle
from tests.switches import frequent_switches

from pykyro.engine.engine import Engine
from pykyro.model.legs import Legs
from pykyro.model.requests import SearchRequest
from pykyro.model.words import WordsConfig

CONFIG = WordsConfig(("body",))
ROWS = vectors(40)
TEXTS = [f"fox number n{at % 7} {'dog ' * (at % 5)}" for at in range(40)]


def rewrite(engine: Engine, stop: threading.Event, errors: list[BaseException]) -> None:
    """Store what is there once more, document by document; seal and merge."""
    try:
        for turn in range(100_000):
            if stop.is_set():
                return
            some = [(7 * turn + more) % 40 for more in range(10)]
            engine.commit([put(at + 1, ROWS[at], body=TEXTS[at]) for at in some])
            if turn % 20 == 19:
                engine.flush()
            engine.maintain()
    except BaseException as error:
        errors.append(error)


@pytest.mark.parametrize("vector", [False, True])
def test_statistics_are_of_one_moment(tmp_path: Path, vector: bool) -> None:
    engine, stop, errors = open_small(tmp_path, words=CONFIG), threading.Event(), list[BaseException]()
    engine.commit([put(at + 1, ROWS[at], body=text) for at, text in enumerate(TEXTS)])
    documents = {at + 1: {"body": text} for at, text in enumerate(TEXTS)}
    by_words = Oracle(CONFIG).best(documents, "fox n3 dog", 10)
    request = SearchRequest(ROWS[0], 10, legs=Legs("fox n3 dog", by_vector=vector))
    expected = [(hit.doc_id, hit.score) for hit in engine.search(request).hits]
    assert vector or expected == by_words
    writer = threading.Thread(target=rewrite, args=(engine, stop, errors))
    writer.start()
    try:
        with frequent_switches():
            for _ in range(400):
                found = engine.search(request)
                assert [(hit.doc_id, hit.score) for hit in found.hits] == expected
    finally:
        stop.set()
        writer.join()
        engine.close()
    assert not errors
