"""kyrodb drill against real backups and a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.engine.opening import DIMENSION, fill, open_small, vectors
from tests.server.running import running_server
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.target.target import DirectoryTarget
from pykyro.cli.kyrodb import main
from pykyro.model.requests import Delete, Put
from pykyro.model.types import Document, Scope
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock


def back_up(root: Path) -> str:
    target = DirectoryTarget(LocalFileSystem(), root / "backups")
    return create_backup(LocalFileSystem(), root / "data", target, SystemClock(), CreateOptions()).id


def database(root: Path, documents: int) -> None:
    engine = open_small(root / "data")
    fill(engine, vectors(documents))
    engine.flush()
    fill(engine, vectors(5, seed=1), first_id=10_001)
    engine.close()


def drill(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    command = ["drill", "--backup-dir", str(root / "backups"), "--scratch-dir", str(root), "--format", "json"]
    assert main([*command, *arguments]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_drill_restores_opens_searches_and_cleans_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database(tmp_path, 1500)
    backup_id = back_up(tmp_path)
    report = drill(tmp_path, capsys)
    assert (report["backup_id"], report["documents"], report["sampled"]) == (backup_id, 1505, 50)
    assert report["live_documents"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "data"]
    assert main(["drill", "--backup-dir", str(tmp_path / "backups"), "--scratch-dir", str(tmp_path)]) == 0
    assert "Documents: 1505, as the backup states" in capsys.readouterr().out


def test_drill_tells_how_far_the_live_server_has_moved_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database(tmp_path, 20)
    back_up(tmp_path)
    with running_server(tmp_path, hnsw__dimension=8) as server:
        server.stub.Delete(pb.DeleteRequest(doc_id=1))
        for doc_id in (2, 3, 99):
            server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=[1.0] * 8))
        report = drill(tmp_path, capsys, "--server", f"127.0.0.1:{server.port}")
    told = {key: report[key] for key in ("live_documents", "unchanged", "changed", "gone")}
    assert told == {"live_documents": 25, "unchanged": 22, "changed": 2, "gone": 1}


def test_drill_fails_without_a_backup_and_with_a_damaged_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["drill", "--backup-dir", str(tmp_path / "backups"), "--scratch-dir", str(tmp_path)]
    assert main(command) == 1
    assert "can be restored" in capsys.readouterr().err
    database(tmp_path, 20)
    archive = tmp_path / "backups" / f"backup_{back_up(tmp_path)}.tar"
    content = bytearray(archive.read_bytes())
    content[600] ^= 1
    archive.write_bytes(content)
    assert main(command) == 1
    assert "does not match its digest" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "data"]


def test_drill_compares_the_documents_of_whoever_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are the same for everybody, and larger than 32 bits for some."""
    engine = open_small(tmp_path / "data")
    numbers = engine.tenant_indices(["acme", "globex"])
    ids = (1, 2, 2**32 + 1, 2**64 - 1)
    owners: dict[str, int | None] = {"": None, **numbers}
    for seed, tenant in enumerate(owners.values()):
        rows = zip(ids, vectors(len(ids), seed=seed), strict=True)
        engine.commit([Put(Document(one, row, Scope(tenant).constraints, tenant)) for one, row in rows])
        engine.flush()
    engine.write(Delete(2, Scope(numbers["acme"])))
    engine.write(Delete(1))
    engine.close()
    back_up(tmp_path)
    keys = write_keys(tmp_path / "keys.yaml", entry("acme"), entry("globex"))
    place = "--server"
    with running_server(
        tmp_path, auth__enabled=True, auth__api_keys_file=keys, hnsw__dimension=DIMENSION
    ) as server:
        for name, there in (("acme", 3), ("globex", 4)):
            monkeypatch.setenv("KYRODB_API_KEY", key_of(name))
            report = drill(tmp_path, capsys, place, f"127.0.0.1:{server.port}", "--tenant", name)
            assert (report["unchanged"], report["changed"], report["gone"]) == (there, 0, 0)
        command = ["drill", "--backup-dir", str(tmp_path / "backups"), place, f"127.0.0.1:{server.port}"]
        assert main(command) == 1
        assert "--tenant must be one of the database's tenants" in capsys.readouterr().err
    monkeypatch.delenv("KYRODB_API_KEY")
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        report = drill(tmp_path, capsys, place, f"127.0.0.1:{server.port}")
        assert (report["unchanged"], report["changed"], report["gone"]) == (3, 0, 0)
