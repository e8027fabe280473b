"""Whoever reads the rows of a segment sees the documents that the engine serves, whatever it went through."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.engine.opening import open_small, settle

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import verify_deep
from pykyro.cli.kyrodb import main
from pykyro.engine.engine import Engine
from pykyro.engine.maintenance import builder, segment_builder
from pykyro.migration.export import ExportOptions, export
from pykyro.migration.frozen_copy import copy_directory
from pykyro.model.requests import Delete, Put, UpdateMetadata
from pykyro.model.types import Document
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.segment.reader import read_segment_rows
from pykyro.storage.wal.log import SyncPolicy
from pykyro.system.clock import SystemClock

DIMENSION = 4
IDS = 600
Content = dict[int, tuple[list[float], dict[str, str]]]


@pytest.fixture(autouse=True)
def small_segments_have_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a segment with a graph is extended, and then keeps its dead rows."""
    monkeypatch.setattr(segment_builder, "GRAPH_ROWS_MIN", 8)
    monkeypatch.setattr(builder, "GRAPH_ROWS_MIN", 8)


class History:
    """A database that is changed at random, and what must be in it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.expected: Content = {}
        self.engine = self._open()
        self.widest = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            roll = self.random.random()
            doc_id = self.random.randint(1, IDS)
            if roll < 0.3:
                self._put(doc_id)
            elif roll < 0.45:
                self._delete(doc_id)
            elif roll < 0.6:
                self._change(doc_id)
            elif roll < 0.75:
                for other in self.random.sample(range(1, IDS + 1), 20):
                    self._put(other)
            elif roll < 0.92:
                self.engine.flush()
                settle(self.engine)
                self.widest = max(self.widest, _most_rows_of_one_id(self.directory))
            elif roll < 0.97:
                self.engine.snapshot()
            else:
                self.engine.close()
                self.engine = self._open()

    def _put(self, doc_id: int) -> None:
        vector = [float(self.random.randint(1, 9)) for _ in range(DIMENSION)]
        metadata = {"at": str(self.random.random())}
        self.engine.write(Put(Document(doc_id, np.array(vector, np.float32), metadata)))
        self.expected[doc_id] = vector, metadata

    def _delete(self, doc_id: int) -> None:
        self.engine.write(Delete(doc_id))
        self.expected.pop(doc_id, None)

    def _change(self, doc_id: int) -> None:
        if doc_id in self.expected:
            metadata = {"changed": str(self.random.random())}
            self.engine.write(UpdateMetadata(doc_id, metadata, merge=False))
            self.expected[doc_id] = self.expected[doc_id][0], metadata

    def _open(self) -> Engine:
        return open_small(self.directory, dimension=DIMENSION, sync=SyncPolicy.NONE)


def _most_rows_of_one_id(directory: Path) -> int:
    filesystem = LocalFileSystem()
    segments = [
        read_segment_rows(directory, entry, lambda file: filesystem.map(directory / file.name))
        for entry in read_manifest(filesystem, directory).segments
    ]
    return max((int(np.unique(s.ids, return_counts=True)[1].max()) for s in segments), default=0)


@pytest.mark.parametrize("seed", range(3))
def test_engine_export_census_verification_and_drill_see_the_same_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    history = History(tmp_path / "data", seed)
    target = DirectoryTarget(LocalFileSystem(), tmp_path / "backups")
    for _ in range(3):
        history.run(60)
        expected = history.expected
        assert history.engine.stats().documents == len(expected)
        assert _exported(tmp_path) == expected
        backup = create_backup(LocalFileSystem(), history.directory, target, SystemClock(), CreateOptions())
        assert backup.record.documents == len(expected)
        trial = verify_deep(
            LocalFileSystem(), tmp_path / "deep", target, read_catalog(target), backup.id, SystemClock()
        )
        assert trial.documents == len(expected)
        assert main(["drill", "--backup-dir", str(tmp_path / "backups"), "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["documents"] == len(expected)
    assert history.widest > 1, "no merge left an id standing twice: the history proves nothing"
    history.engine.close()


def _exported(root: Path) -> Content:
    """What an export of the open database holds."""
    out = root / f"out-{len(list(root.iterdir()))}"
    export(out, lambda fs, place: copy_directory(fs, root / "data", place), ExportOptions("data", "jsonl"))
    return dict(_lines(out))


def _lines(out: Path) -> Iterator[tuple[int, tuple[list[float], dict[str, str]]]]:
    for part in sorted(out.glob("part-*.jsonl")):
        for line in part.read_text("utf-8").splitlines():
            row = json.loads(line)
            yield row["id"], (row["vector"], row["metadata"])
