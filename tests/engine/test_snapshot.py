"""Snapshots are databases of their moment."""

from __future__ import annotations

from pathlib import Path

from tests.engine.opening import fill, open_small, vectors

from pykyro.model.requests import Delete
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.verify import verify_directory


def test_a_snapshot_opens_as_the_database_of_its_moment(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(30))
    report = engine.snapshot()
    assert report.documents == 30
    engine.commit([Delete(doc_id) for doc_id in range(1, 21)])
    engine.flush()
    engine.close()
    assert verify_directory(LocalFileSystem(), Path(report.path)).damage == []
    then = open_small(Path(report.path))
    assert then.stats().documents == 30
    then.close()


def test_the_newest_snapshots_are_kept(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", snapshots_kept=2)
    paths = []
    for start in (1, 11, 21):
        fill(engine, vectors(10), first_id=start)
        paths.append(Path(engine.snapshot().path))
    assert [path.exists() for path in paths] == [False, True, True]
    engine.close()
