"""Backups against copying: a full one, an incremental one, searches meanwhile, and the way back to serving."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, p99_us, show
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import CatalogEntry, read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.restore import restore
from pykyro.backup.target.target import DirectoryTarget
from pykyro.engine.engine import Engine, open_engine
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document
from pykyro.storage.files.checksum import Digest
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.system.clock import SystemClock

_ROUNDS = 5
_SEARCH_S = 4.0
_CHANGED_SHARE = 100


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def copy_with_digest(names: list[Path], place: Path) -> None:
    """What an operator would do by hand: cp -r, a digest of what was copied, everything on disk."""
    place.mkdir()
    subprocess.run(["cp", "-r", *map(str, names), str(place)], check=True)
    for path in place.iterdir():
        content = Digest()
        with path.open("rb") as file:
            while piece := file.read(4 << 20):
                content.update(piece)
            os.fsync(file.fileno())
    shutil.rmtree(place)


def back_up(data_dir: Path, target: DirectoryTarget, *, incremental: bool = False) -> CatalogEntry:
    options = CreateOptions(incremental=incremental)
    return create_backup(LocalFileSystem(), data_dir, target, SystemClock(), options)


def speed(data_dir: Path, target: DirectoryTarget, scratch: Path) -> Row:
    """Full backups and copies of the same files, in turns."""
    manifest = read_manifest(LocalFileSystem(), data_dir)
    names = [data_dir / name for name in manifest.file_names if not name.endswith(".wal")]
    size = sum(path.stat().st_size for path in names)
    copies, backups = [], []
    for _ in range(_ROUNDS):
        copies.append(timed(lambda: copy_with_digest(names, scratch / "copy")))
        backups.append(timed(lambda: back_up(data_dir, target)))
    own, floor = size / np.median(backups) / 1e6, size / np.median(copies) / 1e6
    return Row(
        f"full backup of {size / 1e6:.0f} MB",
        f"{own:.0f} MB/s",
        f"cp -r and digest, synced: {floor:.0f} MB/s",
        own / floor,
        "≥ 0.5",
    )


def searches_for(engine: Engine, data: dataset.Dataset, seconds: float) -> list[float]:
    """Time of each search, one after the other."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        vector = data.queries[len(taken) % len(data.queries)]
        taken.append(timed(lambda: engine.search(SearchRequest(vector, 10))))  # noqa: B023
    return taken


def searches_meanwhile(engine: Engine, data: dataset.Dataset, backup_dir: Path) -> Row:
    """The command, again and again, in a process of its own at low priority, as a timer runs it."""
    command = [
        "nice", sys.executable, "-m", "pykyro.cli.kyrodb_backup", "create",
        "--data-dir", str(engine.directory), "--backup-dir", str(backup_dir),
    ]  # fmt: skip
    stop, made = threading.Event(), []

    def keep_going() -> None:
        while not stop.is_set():
            subprocess.run(command, check=True, capture_output=True)
            made.append(1)

    searches_for(engine, data, 1.0)
    quiet = searches_for(engine, data, _SEARCH_S)
    beside = threading.Thread(target=keep_going)
    beside.start()
    busy = searches_for(engine, data, _SEARCH_S)
    stop.set()
    beside.join()
    return Row(
        f"search p99 during backups ({len(made)} in {_SEARCH_S:.0f} s)",
        f"{p99_us(busy):.0f} µs",
        f"without: {p99_us(quiet):.0f} µs",
        p99_us(busy) / p99_us(quiet),
        "≤ 1.5",
    )


def incremental(engine: Engine, data: dataset.Dataset, target: DirectoryTarget) -> Row:
    """One document in a hundred gets another vector, and all that is sealed."""
    full = back_up(engine.directory, target)
    rng = np.random.default_rng(5)
    changed = rng.choice(len(data.rows), len(data.rows) // _CHANGED_SHARE, replace=False)
    for at in changed.tolist():
        engine.write(Put(Document(at + 1, data.rows[at][::-1].copy(), store.plain_metadata(at))))
    engine.flush()
    entry = back_up(engine.directory, target, incremental=True)
    return Row(
        "incremental backup after 1 % of changes",
        f"{entry.size_bytes / 1e6:.2f} MB",
        f"full: {full.size_bytes / 1e6:.0f} MB",
        entry.size_bytes / full.size_bytes,
        "≤ 0.03",
    )


def back_to_serving(data: dataset.Dataset, target: DirectoryTarget, data_dir: Path, scratch: Path) -> Row:
    """Restoring and opening, against copying alone, in turns."""
    catalog = read_catalog(target)
    plan = plan_backup(catalog, catalog.entries[-1].id)
    names = [path for path in data_dir.iterdir() if path.suffix in (".rows", ".graph")]
    place = scratch / "restored"

    def serve() -> None:
        restore(LocalFileSystem(), place, Store(target), plan, SystemClock(), allow_clear=False)
        open_engine(place, store.options(data)).close()

    copies, restores = [], []
    for _ in range(_ROUNDS):
        copies.append(timed(lambda: copy_with_digest(names, scratch / "copy")))
        restores.append(timed(serve))
        shutil.rmtree(place)
    own, floor = float(np.median(restores)), float(np.median(copies))
    return Row(
        "restore to serving", f"{own:.2f} s", f"cp -r and digest, synced: {floor:.2f} s", own / floor, "≤ 1.5"
    )


def main() -> None:
    options = arguments(__doc__)
    data = dataset.load(options.data, options.count)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        target = DirectoryTarget(LocalFileSystem(), root / "backups")
        engine = store.one_segment(root / "data", data)
        rows = [speed(engine.directory, target, root)]
        rows.append(searches_meanwhile(engine, data, root / "more"))
        rows.append(incremental(engine, data, target))
        engine.close()
        rows.append(back_to_serving(data, target, root / "data", root))
        show(rows)


if __name__ == "__main__":
    main()
