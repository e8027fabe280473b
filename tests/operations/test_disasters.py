"""docs/operations.md, executed: a move, a death, damage, a lost log, backups that fail."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engine.opening import fill, open_small, vectors
from tests.operations import faults
from tests.operations.observed import DIMENSION, found, health, insert, try_insert
from tests.operations.page import Shell, commands, section
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import running_server, start_server

from pykyro.proto import kyrodb_pb2 as pb

SETTINGS: dict[str, Any] = {"hnsw__dimension": DIMENSION}
DOCUMENTS = set(range(1, 6))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a segment of documents 1 to 3 and some log, closed."""
    rows = vectors(len(DOCUMENTS), dimension=DIMENSION)
    engine = open_small(tmp_path / "data", dimension=DIMENSION)
    fill(engine, rows[:3])
    engine.flush()
    fill(engine, rows[3:], first_id=4)
    engine.close()
    return tmp_path / "data"


def refused_start(tmp_path: Path, **settings: object) -> str:
    """What a server says that does not start; it exits with 1."""
    server = start_server(tmp_path, SETTINGS | settings)
    server.channel.close()
    try:
        assert server.process.wait(PATIENCE_S) == 1
    finally:
        server.process.kill()
        server.process.wait()
    return server.log


def test_moving_the_data_directory(tmp_path: Path, data: Path) -> None:
    moved = tmp_path / "fast disk" / "data"
    moved.parent.mkdir()
    shell = Shell(tmp_path, OLD_DIR=data, NEW_DIR=moved, BACKUP_DIR=tmp_path / "backups")
    _, _, same, manifest, doctor = shell.run_all("Moving the data directory")
    assert (same, manifest) == ("same number of files\n", "OK\n")
    assert "is as it was written" in doctor
    with running_server(tmp_path, persistence__data_dir=moved, **SETTINGS) as server:
        assert set(found(server)) == DOCUMENTS
        assert health(server)[0] == 200
        in_use = refused_start(tmp_path, persistence__data_dir=moved)
        assert f"in use by process {server.process.pid}" in in_use


def test_a_server_that_was_killed_has_what_it_acknowledged(tmp_path: Path, data: Path) -> None:
    shell = Shell(tmp_path)
    server = start_server(tmp_path, SETTINGS)
    try:
        server.wait_ready()
        insert(server, 6)
    finally:
        server.stop(signal.SIGKILL)
    with running_server(tmp_path, **SETTINGS) as server:
        assert set(found(server)) == DOCUMENTS | {6}
        (shown,) = shell.run_all("Out of memory", server, excused=("dmesg",))
        assert "kyrodb_recovery_unclean 1" in shown
        assert "kyrodb_memory_limit_bytes" in shown


def test_settings_that_need_less_memory(tmp_path: Path, data: Path) -> None:
    """The block of the page holds for a directory that was made with more."""
    (block,) = re.findall(r"```yaml\n(.*?)```", section("Out of memory"), flags=re.DOTALL)
    wanted = yaml.safe_load(block)
    config = tmp_path / "config.yaml"
    config.write_text(block)
    with running_server(tmp_path, ("--config", str(config)), **SETTINGS) as server:
        settings = server.stub.GetConfig(pb.ConfigRequest())
        assert settings.hot_tier_max_size == wanted["cache"]["capacity"]
        assert settings.hnsw_max_elements == wanted["hnsw"]["max_elements"]
        assert settings.hnsw_m == wanted["hnsw"]["m"]
        assert set(found(server)) == DOCUMENTS
    with running_server(tmp_path, hnsw__max_elements=3, hnsw__m=8, **SETTINGS) as server:
        assert set(found(server)) == DOCUMENTS
        assert try_insert(server, 6).code == "RESOURCE_EXHAUSTED"
        insert(server, 5)


def damage(data: Path, pattern: str) -> Path:
    """Flip a bit in the middle of a file; the file."""
    damaged = max(data.glob(pattern))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0x10
    damaged.write_bytes(content)
    return damaged


@pytest.mark.parametrize("pattern", ["segment_*.rows", "wal_*.wal", "MANIFEST"])
def test_a_flipped_bit_is_refused_and_named(tmp_path: Path, data: Path, pattern: str) -> None:
    damaged = damage(data, pattern)
    log = tmp_path / "kyrodb.log"
    told = refused_start(tmp_path, logging__file=log)
    for text in (told, log.read_text()):
        assert re.search(rf"{re.escape(str(damaged))} at byte \d+: .*[Rr]estore", text.splitlines()[-1]), text


def test_a_backup_brings_a_damaged_database_back(tmp_path: Path, data: Path) -> None:
    backups = tmp_path / "backups"
    shell = Shell(tmp_path, DATA_DIR=data, BACKUP_DIR=backups)
    shell.run('kyrodb_backup create --data-dir "$DATA_DIR" --backup-dir "$BACKUP_DIR"')
    damaged = damage(data, "segment_*.rows")
    doctor, listing, verify, allow, restore, _ = commands("Damaged data, or a start that fails")
    assert str(damaged) in shell.run(doctor, code=1)
    (backup,) = json.loads(shell.run(listing))
    shell = Shell(tmp_path, DATA_DIR=data, BACKUP_DIR=backups, BACKUP_ID=backup["id"])
    shell.run(verify)
    shell.run(restore, code=1)
    shell.run(allow)
    shell.run(restore)
    with running_server(tmp_path, **SETTINGS) as server:
        assert set(found(server)) == DOCUMENTS
        assert health(server)[1]["status"] == "healthy"


def test_the_last_resort_starts_from_the_checkpoint_and_says_so(tmp_path: Path, data: Path) -> None:
    shell = Shell(tmp_path, DATA_DIR=data)
    last = max(data.glob("wal_*.wal"))
    aside = last.rename(tmp_path / last.name)
    assert f"{last}: WAL segment is missing" in refused_start(tmp_path)
    aside.rename(last)
    shell.run(commands("Damaged data, or a start that fails")[-1])
    with running_server(tmp_path, **SETTINGS) as server:
        assert set(found(server)) == {1, 2, 3}
        status, body = health(server)
        assert (status, body["status"]) == (200, "degraded")
        assert re.search(
            r"all WAL files are missing: started from the last checkpoint, position \d+", body["reason"]
        )
        wait_until(lambda: server.log.count("all WAL files are missing") == 1, "the log says so, once")
        insert(server, 9)
        assert set(found(server)) == {1, 2, 3, 9}


def test_a_backup_without_room_leaves_nothing_and_works_when_there_is_some(
    tmp_path: Path, data: Path
) -> None:
    with faults.small_disk(2 << 20) as disk:
        backups = disk / "my backups"
        backups.mkdir()
        shell = Shell(tmp_path, DATA_DIR=data, BACKUP_DIR=backups)
        create = 'kyrodb_backup create --data-dir "$DATA_DIR" --backup-dir "$BACKUP_DIR"'
        filler = faults.fill(disk, leaving_bytes=8192)
        shell.run(create, code=1)
        assert not list(backups.glob("backup_*.tar"))
        os.unlink(filler)
        shell.run_all("A backup failed")
        assert len(list(backups.glob("backup_*.tar"))) == 1
