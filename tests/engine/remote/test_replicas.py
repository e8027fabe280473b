"""Searches ask a hot standby of the PostgreSQL first, and believe it only when it has reached what is sealed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.engine.opening import fill, vectors
from tests.engine.remote.opening import open_remote
from tests.engine.remote.postgres import Postgres
from tests.patience import PATIENCE_S

from pykyro.engine.engine import Engine
from pykyro.model.errors import Unavailable
from pykyro.model.requests import Delete, SearchRequest

ROWS = vectors(200)


@dataclass
class Standby:
    """A hot standby of the server of the tests."""

    primary: Postgres
    host: str

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        reach = f"host={self.host} user=postgres dbname=postgres"
        with psycopg.connect(reach, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def catch_up(self) -> None:
        ((position,),) = self.primary.execute("SELECT pg_current_wal_insert_lsn()::text")
        self.wait_for(lambda: self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == [(True,)])

    def pause(self) -> None:
        """Let it fall behind."""
        self.execute("SELECT pg_wal_replay_pause()")
        self.wait_for(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])

    def wait_for(self, holds: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < until_s
            time.sleep(0.01)

    def services(self) -> Path:
        """Of a new database, with its replica."""
        path = self.primary.fresh()
        with path.open("a") as file:
            file.write(f"[kyrodb-replica]\nhost={self.host}\nuser=postgres\ndbname={self.primary.database}\n")
        return path


@pytest.fixture(scope="module")
def standby(postgres: Postgres) -> Iterator[Standby]:
    place = Path(tempfile.mkdtemp(prefix="kyrodb-standby-"))
    data, user = place / "data", None
    if os.geteuid() == 0:
        user = "pgserver"
        shutil.chown(place, user)

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [str(postgres.programs / program), *words],
            check=True,
            user=user,
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    run("pg_basebackup", "-h", postgres.host, "-U", "postgres", "-D", str(data), "-R", "-c", "fast")
    run("pg_ctl", "-w", "-D", str(data), "-l", str(place / "log"), "-o", f'-h "" -k {place}', "start")
    try:
        yield Standby(postgres, str(place))
    finally:
        run("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(place)


def opened(path: Path, services: Path) -> Engine:
    return open_remote(path, services, remote={"replica_suffix": "-replica"})


def asked(engine: Engine) -> tuple[list[int | str], bool]:
    """What a search finds, and whether the replica was asked."""
    result = engine.search(SearchRequest(ROWS[3], 5, exact=True))
    return [hit.doc_id for hit in result.hits], "asked of the replica" in result.plan


def test_a_replica_answers_what_it_has_reached_and_nothing_else(tmp_path: Path, standby: Standby) -> None:
    services = standby.services()
    engine = opened(tmp_path / "data", services)
    fill(engine, ROWS, first_id=1)
    engine.flush()
    standby.catch_up()
    expected, _ = asked(engine)
    standby.wait_for(lambda: asked(engine) == (expected, True))

    standby.pause()
    try:
        engine.write(Delete(4))
        # What is deleted here and not yet sealed is no matter of the table.
        standby.wait_for(lambda: asked(engine)[1])
        assert 4 not in asked(engine)[0]
        engine.flush()
        for _ in range(20):
            found, by_replica = asked(engine)
            assert not by_replica
            assert 4 not in found
        assert not engine.stats().cold_tier_warning
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")
    standby.wait_for(lambda: asked(engine) == (found, True))
    engine.close()
    # A new claim: what the replica had under the one before does not count.
    engine = opened(tmp_path / "data", services)
    standby.wait_for(lambda: asked(engine) == (found, True))
    engine.close()


def test_the_primary_away_the_replica_answers_and_the_other_way_round(
    tmp_path: Path, standby: Standby
) -> None:
    engine = opened(tmp_path / "data", standby.services())
    fill(engine, ROWS, first_id=1)
    engine.flush()
    standby.catch_up()
    expected, _ = asked(engine)
    standby.wait_for(lambda: asked(engine)[1])
    # What follows must not reach the standby, as it would not if the machine were gone.
    standby.pause()
    standby.primary.stop()
    try:
        assert asked(engine) == (expected, True)
    finally:
        standby.primary.start()
        standby.execute("SELECT pg_wal_replay_resume()")
    engine.close()


def test_a_replica_that_is_not_there_is_told_and_not_missed(tmp_path: Path, standby: Standby) -> None:
    path = standby.primary.fresh()
    with path.open("a") as file:
        file.write(f"[kyrodb-replica]\nhost={tmp_path}\nuser=postgres\ndbname=nowhere\n")
    engine = opened(tmp_path / "data", path)
    fill(engine, ROWS, first_id=1)
    engine.flush()
    assert asked(engine)[1] is False
    assert "the primary is asked instead" in engine.stats().cold_tier_warning
    standby.primary.stop()
    with pytest.raises(Unavailable):
        asked(engine)
    standby.primary.start()
    engine.close()
