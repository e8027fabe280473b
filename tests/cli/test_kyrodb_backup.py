"""kyrodb_backup as scripts see it: arguments, exit codes, the lines on stdout, and a server that runs and writes."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.engine.opening import fill, open_small, put, vectors
from tests.server.running import RunningServer, running_server

from pykyro.backup.archive.writer import Throttle
from pykyro.cli import kyrodb_backup
from pykyro.cli.backup import output as backup_output
from pykyro.cli.kyrodb_backup import main
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.version import __version__

DIMENSION = 8


class Tool:
    """The command in this process, in a directory of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data, self.backups = root / "data", root / "backups"
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: str, expect: int = 0) -> list[str]:
        """The lines on stdout; `err` has those on stderr."""
        directories = ["--data-dir", str(self.data), "--backup-dir", str(self.backups)]
        code = main([*directories, *arguments])
        output = self._capsys.readouterr()
        self.err = output.err
        assert code == expect, output.err
        return output.out.splitlines()

    def refused(self, *arguments: str) -> str:
        """What stderr says of a command that fails."""
        assert self(*arguments, expect=1) == []
        assert self.err.startswith("Error: ")
        return self.err

    def create(self, *arguments: str) -> str:
        return self("create", *arguments)[1].removeprefix("Backup ID: ")

    @property
    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads("\n".join(self("list", "--format", "json")))
        return found


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.delenv("BACKUP_ALLOW_CLEAR", raising=False)
    monkeypatch.chdir(tmp_path)
    tool = Tool(tmp_path, capsys)
    engine = open_small(tool.data)
    fill(engine, vectors(30))
    engine.flush()
    fill(engine, vectors(10), first_id=101)
    engine.close()
    return tool


def documents(tool: Tool) -> int:
    engine = open_small(tool.data)
    count = engine.stats().documents
    engine.close()
    return count


def test_create_says_what_it_made(tool: Tool) -> None:
    lines = tool("create", "--description", "before the upgrade")
    (listed,) = tool.listed
    assert lines == [
        "",
        f"Backup ID: {listed['id']}",
        "Type: Full",
        f"Size: {(tool.backups / ('backup_' + listed['id'] + '.tar')).stat().st_size} bytes",
        "Vectors: 40",
    ]
    assert listed["description"] == "before the upgrade"
    assert tool("create", "--incremental")[2] == "Type: Incremental"
    assert tool.listed[0]["parent_id"] == listed["id"]


def test_list_of_nothing(tool: Tool) -> None:
    assert tool("list", "--format", "json") == ["[]"]
    assert tool("list", "--format", "table") == ["No backups found"]


def test_list_as_table(tool: Tool) -> None:
    backup_id = tool.create("--description", "odd [bold]text\x1b[31m")
    table = "\n".join(tool("list", "--format", "table"))
    for title in ("Backup ID", "Type", "Created", "Size", "Vectors", "Description"):
        assert title in table
    created = datetime.datetime.fromtimestamp(tool.listed[0]["timestamp"], datetime.UTC)
    assert f"{created:%Y-%m-%d %H:%M:%S}" in table
    assert backup_id in table
    assert "odd [bold]text" in table
    assert "\x1b" not in table
    assert tool("list") == tool("list", "--format", "table")


def test_without_the_extra_there_is_json_alone(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_output, "has_tables", lambda: False)
    tool.create()
    assert tool("list") == tool("list", "--format", "json")
    assert "cli-tools" in tool.refused("list", "--format", "table")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.00 B"), (1023, "1023.00 B"), (1536, "1.50 KB"), (1 << 20, "1.00 MB"), (1 << 50, "1024.00 TB")],
)
def test_sizes_in_tables_are_in_units_of_1024(size: int, text: str) -> None:
    assert backup_output.size_text(size) == text


def test_verify_takes_the_id_both_ways_and_says_the_checksum(tool: Tool) -> None:
    backup_id = tool.create()
    (listed,) = tool.listed
    lines = [
        "",
        f"Backup {backup_id} is valid",
        f"Size: {listed['size_bytes']} bytes",
        f"Checksum: 0x{listed['checksum']:08X} (verified)",
    ]
    assert tool("verify", backup_id) == lines
    assert tool("verify", "--backup-id", backup_id) == lines
    assert tool.listed[0]["verified_at"] is not None
    assert tool("verify", "--newest") == lines
    deep = tool("verify", backup_id, "--deep")
    assert deep[:4] == lines
    assert deep[4].startswith("Recovery: 40 documents at position ")


def test_verify_of_a_damaged_archive_fails(tool: Tool) -> None:
    backup_id = tool.create()
    archive = tool.backups / f"backup_{backup_id}.tar"
    content = bytearray(archive.read_bytes())
    content[700] ^= 1
    archive.write_bytes(content)
    assert f"backup_{backup_id}.tar at byte" in tool.refused("verify", backup_id)


def test_unknown_and_malformed_ids(tool: Tool) -> None:
    assert "No backups found in" in tool.refused("verify", "--newest")
    assert "Backup 20200101T000000Z not found" in tool.refused("verify", "20200101T000000Z")
    assert "is not a backup id" in tool.refused("verify", "../../etc/passwd")
    assert "Backup 20200101T000000Z not found" in tool.refused("restore", "--backup-id", "20200101T000000Z")
    assert "Reference backup ID required" in tool.refused("create", "--incremental")


def test_restore_needs_the_word_and_nothing_but_the_word(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    backup_id = tool.create()
    for word in ("", "1", "yes", "true ", "truely"):
        monkeypatch.setenv("BACKUP_ALLOW_CLEAR", word)
        assert "requires explicit confirmation" in tool.refused("restore", "--backup-id", backup_id)
    for word in ("true", "TRUE", "True"):
        monkeypatch.setenv("BACKUP_ALLOW_CLEAR", word)
        lines = tool("restore", "--backup-id", backup_id)
        assert lines == ["", f"Database restored from backup {backup_id}"]
    assert documents(tool) == 40


def test_restore_dry_run_needs_no_word_and_changes_nothing(tool: Tool) -> None:
    backup_id = tool.create()
    before = sorted(
        (path.name, path.stat().st_mtime_ns) for path in tool.data.iterdir() if path.name != "LOCK"
    )
    lines = tool("restore", "--backup-id", backup_id, "--dry-run")
    assert f"From: {backup_id}" in lines
    assert "  - MANIFEST" in lines
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in tool.data.iterdir() if p.name != "LOCK")


@pytest.mark.parametrize("form", ["seconds", "rfc3339", "offset"])
def test_restore_to_an_instant(tool: Tool, form: str) -> None:
    engine = open_small(tool.data)
    moments = []
    for number in range(3):
        engine.write(put(1000 + number, vectors(1)[0]))
        moments.append(time.time())
        time.sleep(0.002)
    engine.close()
    tool.create()
    stamp = datetime.datetime.fromtimestamp(moments[1], datetime.UTC)
    zone = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))
    text = {
        "seconds": f"{moments[1]:.6f}",
        "rfc3339": f"{stamp:%Y-%m-%dT%H:%M:%S.%fZ}",
        "offset": stamp.astimezone(zone).isoformat(),
    }[form]
    tool.data = tool.data.with_name("restored")
    lines = tool("restore", "--point-in-time", text)
    assert lines == ["", f"Database restored to point-in-time: {stamp:%Y-%m-%d %H:%M:%S} UTC"]
    assert documents(tool) == 42


def test_restore_to_a_position_and_beyond_the_last_backup(tool: Tool) -> None:
    tool.create()
    (listed,) = tool.listed
    tool.data = tool.data.with_name("restored")
    assert tool("restore", "--lsn", str(listed["sealed_position"] + 3))[1].startswith(
        "Database restored to position"
    )
    assert documents(tool) == 33
    tool.data = tool.data.with_name("another")
    tool("restore", "--point-in-time", str(time.time() + 1000))
    assert "no backup was made after that" in tool.err
    assert "No backup reaches position 999" in tool.refused("restore", "--lsn", "999")


def test_prune_says_what_went(tool: Tool) -> None:
    kept_by_nothing = ("--keep-hourly", "0", "--keep-daily", "0", "--keep-weekly", "0", "--keep-monthly", "0")
    nothing = ["No backups pruned (all within retention policy)"]
    assert tool("prune") == nothing
    ids = [tool.create() for _ in range(3)]
    assert tool("prune", *kept_by_nothing, "--min-age-days", "1") == [
        "No backups pruned (all within retention policy)"
    ]
    gone = [f"  - {backup_id}" for backup_id in ids[:2]]
    assert tool("prune", *kept_by_nothing, "--dry-run") == ["Would prune 2 backup(s):", *gone]
    assert tool("prune", *kept_by_nothing) == ["Pruned 2 backup(s):", *gone]
    assert [listed["id"] for listed in tool.listed] == ids[2:]


def test_directories_are_taken_before_and_after_the_command_and_default_to_the_usual(
    tmp_path: Path, tool: Tool, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert main(["create", "--backup-dir", str(elsewhere)]) == 0
    assert main(["--backup-dir", str(tmp_path / "wrong"), "create", "--backup-dir", str(elsewhere)]) == 0
    assert main(["--backup-dir", str(elsewhere), "create", "--data-dir", str(tool.data)]) == 0
    assert main(["create"]) == 0
    assert len(list(elsewhere.glob("*.tar"))) == 3
    assert len(list((tmp_path / "backups").glob("*.tar"))) == 1
    assert not (tmp_path / "wrong").exists()
    capsys.readouterr()


def test_backups_inside_the_database_are_refused(tool: Tool) -> None:
    tool.backups = tool.data / "backups"
    assert "lies inside" in tool.refused("create")


def test_directory_without_a_database(tool: Tool) -> None:
    tool.data = tool.data.with_name("nothing")
    assert "No recoverable state found" in tool.refused("create")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("create", "--nonsense"),
        ("create", "--max-mb-per-s", "0"),
        ("restore",),
        ("restore", "--backup-id", "x", "--lsn", "1"),
        ("restore", "--lsn", "-1"),
        ("restore", "--point-in-time", "yesterday"),
        ("restore", "--point-in-time", "2025-06-01T12:00:00"),
        ("restore", "--point-in-time", "nan"),
        ("verify",),
        ("restore", "--point-in-time", "2026-11-29"),
        ("restore", "--backup-id", "x", "--line", "y"),
        ("restore", "--point-in-time", "1", "--line", "y"),
        ("create", "--reference", "20200101T000000Z"),
        ("create", "--reference", ""),
        ("create", "--full-after-days", "7"),
        ("create", "--full-after-days", "0"),
        ("create", "--seal-wait-secs", "5"),
        ("verify", "x", "--scratch-dir", "."),
        ("verify", "x", "--backup-id", "y"),
        ("list", "--format", "xml"),
        ("prune", "--keep-daily", "-1"),
        ("prune", "--min-age-days", "inf"),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert "usage: kyrodb_backup" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"kyrodb_backup {__version__}\n"


def test_rate_reaches_the_throttle_in_bytes_and_every_byte_passes_it(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, passed = [], []

    class Recording(Throttle):
        def __init__(self, bytes_per_s: float | None) -> None:
            rates.append(bytes_per_s)
            super().__init__(None)

        def take(self, size_bytes: int) -> None:
            passed.append(size_bytes)

    monkeypatch.setattr(kyrodb_backup, "Throttle", Recording)
    tool.create("--max-mb-per-s", "2.5")
    tool.create()
    assert rates == [2.5e6, None]
    files = sum(path.stat().st_size for path in tool.data.iterdir())
    assert sum(passed) > files


# --- with a server --------------------------------------------------------------------------------


def command(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with its own exit code."""
    return subprocess.run(
        [sys.executable, "-m", "pykyro.cli.kyrodb_backup", *arguments],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name != "BACKUP_ALLOW_CLEAR"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def write_until(server: RunningServer, stop: threading.Event, written: list[int]) -> None:
    rows = vectors(64, dimension=DIMENSION)
    for doc_id in itertools.count(1):
        if stop.is_set():
            return
        answer = server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=rows[doc_id % 64].tolist()))
        assert answer.success
        written.append(doc_id)


def test_backups_of_a_running_server_restore_to_what_it_had_acknowledged(tmp_path: Path) -> None:
    """The runbook of the operations guide, start to end, while the server takes writes."""
    settings: dict[str, Any] = {
        "hnsw__dimension": DIMENSION,
        "cache__capacity": 200,
        "persistence__fsync_policy": "data_only",
    }
    stop, written = threading.Event(), list[int]()
    acknowledged = []
    with running_server(tmp_path, **settings) as server:
        writer = threading.Thread(target=write_until, args=(server, stop, written))
        writer.start()
        try:
            for number in range(4):
                while len(written) < 150 * (number + 1):
                    time.sleep(0.01)
                acknowledged.append(len(written))
                made = command(tmp_path, "create", *(["--incremental"] if number else []))
                assert (made.returncode, made.stderr) == (0, "")
            listed = json.loads(command(tmp_path, "list", "--format", "json").stdout)
            refused = command(tmp_path, "restore", "--backup-id", listed[0]["id"], BACKUP_ALLOW_CLEAR="true")
            assert refused.returncode == 1
            assert f"in use by process {server.process.pid}" in refused.stderr
        finally:
            stop.set()
            writer.join()
    for before, entry in zip(acknowledged, reversed(listed), strict=True):
        assert entry["vector_count"] >= before, "a write was acknowledged before the backup and is not in it"
        assert command(tmp_path, "verify", entry["id"], "--deep").returncode == 0
    chosen = listed[1]
    restored = command(tmp_path, "restore", "--backup-id", chosen["id"], BACKUP_ALLOW_CLEAR="true")
    assert (restored.returncode, restored.stderr) == (0, "")
    with running_server(tmp_path, **settings) as server:
        ids = list(range(1, chosen["vector_count"] + 2))
        found = [server.stub.Query(pb.QueryRequest(doc_id=doc_id)).found for doc_id in ids]
        assert found == [True] * chosen["vector_count"] + [False]
