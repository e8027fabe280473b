"""Whatever ends a seal at whichever step, on either side: nothing is lost, doubled or comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.opening import ids, vectors
from tests.engine.remote.opening import open_remote
from tests.engine.remote.postgres import Postgres

from pykyro.engine.engine import Engine
from pykyro.model.errors import KyroError
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Operation, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import EVERYTHING, Document

STEPS = ["begin", "remove", "copy", "copied", "index", "commit", "committed", "map", "manifest", "installed"]
ROWS = vectors(400)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def put(doc_id: int, number: int) -> Put:
    return Put(Document(doc_id, ROWS[number], {"n": str(number)}))


def commit(engine: Engine, operations: list[Operation]) -> None:
    for answer in engine.commit(operations):
        if isinstance(answer, KyroError):
            raise answer


def write_before(engine: Engine) -> dict[int, str]:
    """What is sealed before the seal that does not come to its end; what is expected of everything."""
    commit(engine, [put(doc_id, doc_id) for doc_id in range(60)])
    engine.flush()
    commit(engine, [put(doc_id, 100 + doc_id) for doc_id in range(10)])
    commit(engine, [Delete(doc_id) for doc_id in range(10, 20)])
    commit(engine, [UpdateMetadata(doc_id, {"m": "1"}, True) for doc_id in range(20, 30)])
    commit(engine, [put(doc_id, doc_id) for doc_id in range(60, 70)])
    commit(engine, [Delete(65)])
    return expected_before()


def expected_before() -> dict[int, str]:
    expected = {doc_id: str(doc_id) for doc_id in range(70) if not 10 <= doc_id < 20 and doc_id != 65}
    return expected | {doc_id: str(100 + doc_id) for doc_id in range(10)}


def write_after(engine: Engine, expected: dict[int, str]) -> None:
    """Some of what the seal moves is changed again."""
    commit(engine, [put(doc_id, 200 + doc_id) for doc_id in (0, 61, 20, 70)])
    commit(engine, [Delete(doc_id) for doc_id in (1, 62, 21, 40)])
    expected.update({doc_id: str(200 + doc_id) for doc_id in (0, 61, 20, 70)})
    for doc_id in (1, 62, 21, 40):
        del expected[doc_id]


def check(engine: Engine, expected: dict[int, str]) -> None:
    assert engine.documents == len(expected)
    page = engine.listing.page(PageRequest(1000, None, EVERYTHING))
    assert {one.doc_id: one.metadata["n"] for one in page.documents} == expected
    assert engine.listing.count(None, EVERYTHING)[0] == len(expected)
    found = engine.search(SearchRequest(ROWS[3], 1000, exact=True))
    assert sorted(ids(found)) == sorted(expected)
    for doc_id in range(75):
        one = engine.get(doc_id)
        assert (one and one.metadata["n"]) == expected.get(doc_id)
        if one is not None:
            assert one.vector.tobytes() == ROWS[int(expected[doc_id])].tobytes()


def in_table(postgres: Postgres) -> dict[int, str]:
    """What another program sees."""
    ((table,),) = postgres.execute("SELECT id FROM kyrodb.collections")
    found = postgres.execute(f"SELECT id, metadata ->> 'n' FROM kyrodb.documents_{table}")
    assert len(found) == len({doc_id for doc_id, _ in found})
    return {int(doc_id): n for doc_id, n in found}


def at(engine: Engine, step: str, act: Callable[[], None]) -> None:
    """Have `act` happen once before a step of the next seal."""
    sealing: Any = engine._maintenance.sealing._tiers

    def on_step(reached: str) -> None:
        if reached == step:
            sealing.on_step = lambda reached: None
            act()

    sealing.on_step = on_step


@pytest.mark.parametrize("step", STEPS)
def test_connections_that_are_cut(tmp_path: Path, postgres: Postgres, step: str) -> None:
    engine = open_remote(tmp_path / "data", postgres.fresh())
    expected = write_before(engine)
    at(engine, step, lambda: (postgres.cut(), None)[1])
    try:
        engine.flush()
    except KyroError:
        check(engine, expected)
        write_after(engine, expected)
        engine.flush()
    else:
        write_after(engine, expected)
    check(engine, expected)
    engine.flush()
    assert in_table(postgres) == expected
    check(engine, expected)
    engine.close()


@pytest.mark.parametrize("step", ["copied", "commit", "committed", "manifest", "installed"])
def test_the_process_is_killed(tmp_path: Path, postgres: Postgres, step: str) -> None:
    services = postgres.fresh()
    command = [sys.executable, __file__, str(tmp_path / "data"), str(services), step]
    killed = subprocess.run(command, check=False, timeout=120, cwd=Path(__file__).parents[3], env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL
    engine = open_remote(tmp_path / "data", services)
    expected = expected_before()
    check(engine, expected)
    write_after(engine, expected)
    check(engine, expected)
    engine.flush()
    assert in_table(postgres) == expected
    check(engine, expected)
    engine.close()
    engine = open_remote(tmp_path / "data", services)
    check(engine, expected)
    engine.close()


def test_the_answer_to_the_commit_is_lost_and_the_seal_is_found_done(
    tmp_path: Path, postgres: Postgres
) -> None:
    engine = open_remote(tmp_path / "data", postgres.fresh())
    expected = write_before(engine)

    def lose() -> None:
        raise KeyboardInterrupt

    at(engine, "committed", lose)
    with pytest.raises(KeyboardInterrupt):
        engine.flush()
    assert in_table(postgres) == expected
    check(engine, expected)
    write_after(engine, expected)
    check(engine, expected)
    written: list[str] = []
    engine._maintenance.sealing._tiers.on_step = written.append  # type: ignore[attr-defined]
    engine.flush()
    assert written[:2] == ["begin", "map"]
    check(engine, expected)
    assert in_table(postgres) == expected
    engine.close()


def test_rows_of_a_seal_that_nobody_heard_of_are_replaced(tmp_path: Path, postgres: Postgres) -> None:
    """The process dies behind the commit, and the next one is refused by PostgreSQL for a while."""
    services = postgres.fresh()
    command = [sys.executable, __file__, str(tmp_path / "data"), str(services), "map"]
    subprocess.run(command, check=False, timeout=120, cwd=Path(__file__).parents[3], env=ENVIRONMENT)
    postgres.stop()
    engine = open_remote(tmp_path / "data", services)
    expected = expected_before()
    assert engine.documents == len(expected)
    write_after(engine, expected)
    postgres.start()
    engine.close()
    engine = open_remote(tmp_path / "data", services)
    check(engine, expected)
    engine.flush()
    assert in_table(postgres) == expected
    engine.close()


def main(directory: str, services: str, step: str) -> None:
    """Writes, and dies at a step of the seal."""

    engine = open_remote(Path(directory), Path(services))
    write_before(engine)
    at(engine, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
    engine.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    main(*sys.argv[1:])
