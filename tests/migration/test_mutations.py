"""Good files with bits turned over, bytes put in, ends cut off: rows, bad rows or a promised error, nothing else."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from tests.migration.databases import many

from pykyro.migration import jsonl, npy, parquet
from pykyro.migration.input_files import find_input
from pykyro.migration.rows import Row, checked_row
from pykyro.model.arguments import Schema
from pykyro.model.errors import InvalidArgument
from pykyro.model.types import Metric

MUTATIONS = 150
_TAIL = 900
"""Where the footer of a Parquet file is, on which everything hangs."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """One good file or set of each format."""
    documents = many(40, tenant="acme")
    parquet.write_part(tmp_path / "a.parquet", documents, 3, tenants=True)
    jsonl.write_part(tmp_path / "a.jsonl", documents)
    npy.write_part(tmp_path / "set", documents, 3)
    return tmp_path


def mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        last = len(changed) - 1
        if last < 0:
            break
        at = rng.randint(max(0, last - _TAIL), last) if rng.random() < 0.5 else rng.randint(0, last)
        roll = rng.random()
        if roll < 0.5:
            changed[at] ^= 1 << rng.randrange(8)
        elif roll < 0.7:
            del changed[at:]
        elif roll < 0.85:
            changed[at:at] = rng.randbytes(rng.randint(1, 8))
        else:
            changed[at] = rng.choice([0, 255, 127, 128])
    return bytes(changed)


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.jsonl", "set/vectors.npy", "set/ids.npy", "set/metadata.jsonl"]
)
def test_mutated_file_is_read_or_refused(name: str, files: Path) -> None:
    rng = random.Random(name)
    path, source = files / name, files / name.split("/")[0]
    good, schema = path.read_bytes(), Schema(3, Metric.EUCLIDEAN)
    read = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(good, rng))
        with contextlib.suppress(InvalidArgument):
            for row in find_input(source, None, 1).readers[0].rows(rng.choice([0, 0, 39, 40])):
                read += isinstance(row, Row)
                if isinstance(row, Row):
                    checked_row(row, schema, None)
    # Had everything been refused at once, nothing behind the first check would have been tried.
    assert read > MUTATIONS
