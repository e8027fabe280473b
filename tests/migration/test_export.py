"""Exports: of one instant, whatever the source does meanwhile and however often the export dies."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.longer import long_form
from tests.migration.databases import build, content, content_of, many
from tests.migration.test_round_trip import FORMATS, export_from, import_into
from tests.server.running import running_server

import pykyro
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.target.target import DirectoryTarget
from pykyro.cli.kyrodb import main
from pykyro.migration import export as export_module
from pykyro.migration.directory_documents import Selection
from pykyro.migration.export_record import Format, read_record
from pykyro.model.errors import DataDamaged, FailedPrecondition, InvalidArgument
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock


def command(data: Path, out: Path, kind: str, *more: str) -> list[str]:
    return ["export", "--data-dir", str(data), "--out", str(out), "--format", kind, *more]


def change(data: Path) -> None:
    """The database moves on: documents go, others come, and everything is sealed."""
    with pykyro.open(data, dimension=3, distance="euclidean") as db:
        db.delete_many(range(1, 200))
        db.insert_many((10_000 + at, [1.0, 2.0, at]) for at in range(500))
        db.flush()


_KILLED = """
import os, signal, sys
from pathlib import Path
from pykyro.cli.kyrodb import main
from pykyro.migration import export
out, name, parts = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
works = getattr(export, name)
def dies(*arguments):
    done = works(*arguments)
    record = export.read_record(out)
    if record is not None and len(record.parts) == parts:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(export, name, dies)
sys.exit(main(sys.argv[4:]))
"""
"""The export, killed once so many parts are recorded, right after a call of this function."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "parquet" else long_form) for kind in FORMATS]
)
def test_killed_export_goes_on_with_the_instant_it_began(kind: Format, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    wanted = many(3000)
    build(data, wanted)
    arguments = command(data, out, kind, "--rows-per-part", "100")
    program = [sys.executable, "-m", "pykyro.cli.kyrodb", *arguments]
    # The first leaves a part that no record names, the second one that is not even whole.
    for function, parts in (("_write_part", 3), ("_sync", 7)):
        dying = [sys.executable, "-c", _KILLED, str(out), function, str(parts), *arguments]
        assert subprocess.run(dying, capture_output=True).returncode == -signal.SIGKILL
        record = read_record(out)
        assert record is not None
        assert not record.complete
        assert len(record.parts) == parts
        assert len(os.listdir(out)) > 1 + parts
        if parts == 3:
            change(data)
    subprocess.run(program, check=True, capture_output=True)
    record = read_record(out)
    assert record is not None
    assert (record.complete, record.documents, len(record.parts)) == (True, 3000, 30)
    assert sorted(os.listdir(out)) == sorted(["EXPORT.json", *(part.name for part in record.parts)])
    import_into(tmp_path / "again", out)
    assert content(tmp_path / "again") == content_of(wanted)


def test_unfinished_export_goes_on_in_the_same_words_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    build(data, many(30))
    written = export_module._write_part

    def dies_at_the_third(filesystem: object, out: Path, record: object, documents: object) -> object:
        if (out / "part-00002.jsonl").exists():
            raise KeyboardInterrupt
        return written(filesystem, out, record, documents)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(export_module, "_write_part", dies_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            export_from(data, out, "jsonl")
    attempts: dict[str, Callable[[], object]] = {
        "another format": lambda: export_from(data, out, "npy"),
        "another namespace": lambda: export_from(data, out, "jsonl", Selection(namespace="n1")),
        "another rows per part": lambda: export_from(data, out, "jsonl", rows=8),
        "another source": lambda: export_from(tmp_path / "other", out, "jsonl"),
    }
    for expected, attempt in attempts.items():
        with pytest.raises(FailedPrecondition, match=f"unfinished export with {expected}"):
            attempt()
    size = (out / "part-00001.jsonl").stat().st_size
    os.truncate(out / "part-00001.jsonl", size - 1)
    with pytest.raises(
        DataDamaged, match=r"part-00001.jsonl: this part of the export has changed since it was written"
    ):
        export_from(data, out, "jsonl")


def test_what_is_no_export_is_left_alone(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    build(data, many(3))
    out.mkdir()
    (out / ".mine").write_text("kept")
    with pytest.raises(FailedPrecondition, match=r"holds \.mine, which does not belong to an export"):
        export_from(data, out, "jsonl")
    assert os.listdir(out) == [".mine"]
    (out / ".mine").unlink()
    export_from(data, out, "jsonl")
    with pytest.raises(FailedPrecondition, match="holds a complete export of 3 documents"):
        export_from(data, out, "jsonl")


def test_second_export_into_one_directory_is_refused(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    build(data, many(3))
    out.mkdir()
    lock = LocalFileSystem().lock(out / ".lock")
    try:
        with pytest.raises(FailedPrecondition, match=f"process {os.getpid()} is exporting into"):
            export_from(data, out, "jsonl")
    finally:
        lock.release()


@pytest.mark.parametrize("links", [True, False])
def test_export_beside_a_server_that_writes_is_of_one_instant(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are written in ascending order, so an instant holds all of them up to one."""
    if not links:

        def refuse(*_: object) -> None:
            raise OSError(errno.EXDEV, "cross-device link")

        monkeypatch.setattr(LocalFileSystem, "link", refuse)
    with running_server(tmp_path, hnsw__dimension=3, cache__capacity=150) as server:
        acknowledged = 0
        stop = threading.Event()

        def write() -> None:
            nonlocal acknowledged
            with pykyro.Client(f"127.0.0.1:{server.port}") as client:
                while not stop.is_set():
                    first = acknowledged + 1
                    client.insert_many((first + at, [1.0, first, at], {"a": "b"}) for at in range(20))
                    acknowledged += 20

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for attempt in range(4):
                before = acknowledged
                export_from(tmp_path / "data", tmp_path / f"out{attempt}", "npy", rows=10_000)
                ids = (
                    np.load(tmp_path / f"out{attempt}" / "part-00001" / "ids.npy") if before else np.array([])
                )
                assert sorted(ids.tolist()) == list(range(1, len(ids) + 1))
                assert len(ids) >= before
        finally:
            stop.set()
            writer.join()
    assert acknowledged > 0


def test_backup_is_exported_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, backups = tmp_path / "data", tmp_path / "backups"
    first, later = many(40), many(60, seed=1)
    build(data, first)
    target = DirectoryTarget(LocalFileSystem(), backups)
    ids = []
    ids.append(create_backup(LocalFileSystem(), data, target, SystemClock(), CreateOptions()).id)
    with pykyro.open(data, dimension=3, distance="euclidean") as db:
        db.insert_many((1000 + int(document.doc_id), document.vector) for document in later)
    create_backup(LocalFileSystem(), data, target, SystemClock(), CreateOptions(incremental=True))
    where = ["--backup-dir", str(backups), "--format", "parquet"]
    assert main(["export", *where, "--backup-id", ids[0], "--out", str(tmp_path / "old")]) == 0
    assert "Exported 40 documents as of position" in capsys.readouterr().out
    import_into(tmp_path / "again", tmp_path / "old")
    assert content(tmp_path / "again") == content_of(first)
    assert main(["export", *where, "--out", str(tmp_path / "new")]) == 0
    assert "Exported 100 documents" in capsys.readouterr().out
    assert main(["export", *where, "--backup-id", "../x", "--out", str(tmp_path / "no")]) == 1
    assert "is not a backup id" in capsys.readouterr().err
    assert (
        main(["export", "--backup-dir", str(tmp_path / "none"), *where[2:], "--out", str(tmp_path / "no")])
        == 1
    )
    assert "can be restored" in capsys.readouterr().err


def test_damaged_database_is_refused_and_leaves_no_export(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    build(data, many(40))
    rows = sorted(data.glob("segment_*.rows"))[-1]
    damaged = bytearray(rows.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    rows.write_bytes(damaged)
    with pytest.raises(DataDamaged, match=rf"{rows.name}.*does not match its digest"):
        export_from(data, out, "jsonl")
    assert read_record(out) is None
    rows.unlink()
    with pytest.raises(DataDamaged, match="MANIFEST names this file, but the file is missing"):
        export_from(data, out, "jsonl")


def test_export_into_the_database_itself_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path / "data", many(3))
    for out in (tmp_path / "data", tmp_path / "data" / "out"):
        assert main(command(tmp_path / "data", out, "jsonl")) == 1
        assert "lies inside --data-dir" in capsys.readouterr().err
    assert not (tmp_path / "data" / "out").exists()


def test_tenant_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    build(tmp_path / "data", [*many(2, tenant="acme"), *many(2, tenant="b")])
    with pytest.raises(InvalidArgument, match=r"tenant 'nobody' has never used this database; .* acme, b"):
        export_from(tmp_path / "data", tmp_path / "out", "jsonl", Selection("nobody"))
    assert os.listdir(tmp_path / "out") == []


def test_empty_database_is_an_export_without_parts(tmp_path: Path) -> None:
    build(tmp_path / "data", [])
    record = export_from(tmp_path / "data", tmp_path / "out", "npy")
    assert (record.documents, record.parts, record.complete) == (0, (), True)
    assert import_into(tmp_path / "again", tmp_path / "out").stored == 0


def test_parquet_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FailedPrecondition, match=r"parquet extra: pip install 'pykyro\[parquet\]'"):
        export_from(tmp_path / "data", tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()
