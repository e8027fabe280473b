"""A merge costs what it changes, in the log and in memory: in a process whose memory nothing else moves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MIB = 1 << 20


def measured(script: str, path: Path) -> dict[str, int]:
    """What the script prints: it has `memory`, the resident bytes of its process, and `peak`, the most they were."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGINNING + script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


_BEGINNING = """
import gc, json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from tests.engine.opening import nearest, open_small, put
from pykyro.model.filter import Exact
from pykyro.model.requests import UpdateMetadata

MIB = 1 << 20
VECTOR = np.ones(8, np.float32)

def status(name):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(name + ":"))
    return int(line.split()[1]) * 1024

def memory():
    gc.collect()
    return status("VmRSS")

def peak():
    return status("VmHWM")

path = Path(sys.argv[1])
"""


def test_a_megabyte_sent_as_merges_of_one_large_document_takes_a_few_megabytes(tmp_path: Path) -> None:
    found = measured(
        """
engine = open_small(path)
document = {f"key{at}": "x" * 1000 for at in range(900)}
engine.write(put(1, VECTOR, **document))
before, logged = memory(), engine.stats().wal_bytes
for at in range(1062):
    changes = {f"key{at % 950}": str(at) + "y" * 900}
    document |= changes
    engine.write(UpdateMetadata(1, changes, merge=True))
result = {
    "grown": peak() - before,
    "logged": engine.stats().wal_bytes - logged,
    "counted": engine._context.state.version.active.size_bytes,
    "held": memory() - before,
}
assert engine.get(1).metadata == document
assert nearest(engine, VECTOR, filter=Exact("key30", document["key30"])) == [1]
assert nearest(engine, VECTOR, filter=Exact("key30", "x" * 1000)) == []
engine.close()
engine = open_small(path)
assert engine.get(1).metadata == document
engine.flush()
assert engine.get(1).metadata == document
engine.close()
print(json.dumps(result))
""",
        tmp_path / "data",
    )
    assert found["logged"] < 2 * MIB
    assert found["grown"] < 48 * MIB
    assert found["counted"] < 48 * MIB


def test_rows_that_many_merges_left_behind_are_let_go_of(tmp_path: Path) -> None:
    found = measured(
        """
VECTOR = np.ones(1024, np.float32)
engine = open_small(path, dimension=1024)
document = {f"key{at}": "x" * 60 for at in range(150)}
engine.write(put(1, VECTOR, **document))
before = memory()
for group in range(30):
    changes = [{f"key{at}": f"{group} {at}"} for at in range(200)]
    for change in changes:
        document |= change
    engine.commit([UpdateMetadata(1, change, merge=True) for change in changes])
result = {"grown": peak() - before, "rows": engine._context.state.version.active.rows}
assert engine.get(1).metadata == document
assert nearest(engine, VECTOR, filter=Exact("key7", "29 7")) == [1]
assert engine.stats().documents == 1
engine.close()
print(json.dumps(result))
""",
        tmp_path / "data",
    )
    assert found["grown"] < 64 * MIB
    assert found["rows"] < 5000


def test_concurrent_merges_of_large_documents_hold_one_after_the_other(tmp_path: Path) -> None:
    """Of 1 MiB each, 160 in all, sealed before: what is merged into them neither copies them nor indexes them."""
    found = measured(
        """
DOCUMENTS = 160
engine = open_small(path)

def document(doc_id):
    return {"number": str(doc_id), "text": f"{doc_id} " + "x" * (MIB - 100)}

for first in range(0, DOCUMENTS, 8):
    for doc_id in range(first, first + 8):
        engine.write(put(doc_id, VECTOR, **document(doc_id)))
    engine.flush()
engine.close()
engine = open_small(path)
for segment in engine._context.state.version.cold:
    engine._context.filesystem.release_pages(segment.mapping)
before = memory()

def update(doc_id):
    return engine.write(UpdateMetadata(doc_id, {"mark": f"the mark of {doc_id}"}, merge=True)).existed

with ThreadPoolExecutor(100) as threads:
    assert list(threads.map(update, range(DOCUMENTS))) == [1] * DOCUMENTS
for segment in engine._context.state.version.cold:
    engine._context.filesystem.release_pages(segment.mapping)
result = {
    "counted": engine._context.state.version.active.size_bytes,
    "held": memory() - before,
    "logged": engine.stats().wal_bytes,
}
for doc_id in range(0, DOCUMENTS, 7):
    assert engine.get(doc_id).metadata == {**document(doc_id), "mark": f"the mark of {doc_id}"}
    condition = Exact("text", document(doc_id)["text"])
    assert nearest(engine, VECTOR, filter=condition) == [doc_id]
    assert nearest(engine, VECTOR, filter=Exact("mark", f"the mark of {doc_id}")) == [doc_id]
engine.close()
print(json.dumps(result))
""",
        tmp_path / "data",
    )
    assert found["logged"] < MIB
    assert found["counted"] < MIB
    # Copies would be 160 MiB. A hundred threads leave some 20 to 40 MiB to the allocator.
    assert found["held"] < 80 * MIB
