"""A process that has a database open forks: the child is told, and nothing of the parent's is touched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import PATIENCE_S

import pykyro
from pykyro.embedded.collections import Database

_PROLOGUE = """
import gc, multiprocessing, os, signal, subprocess, sys, threading, time
import pykyro
path = sys.argv[1]

def opened():
    return pykyro.open(path, dimension=4)

def insert(db, first, count):
    for doc_id in range(first, first + count):
        db.insert(doc_id, [doc_id, 1, 2, 3])

def in_child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(100)
        code = 9
        try:
            work()
            code = 0
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status

def refused(call):
    try:
        call()
    except pykyro.FailedPrecondition as error:
        assert f"was opened by process" in str(error) and str(os.getpid()) in str(error), error
        assert "open it again" in str(error), error
    else:
        raise AssertionError("the child was let in")

def reopened_documents():
    with opened() as db:
        return db.stats().documents

db = opened()
insert(db, 1, 10)
"""

_STORIES = {
    "the child is refused whatever it calls": """
calls = [
    lambda: db.insert(1, [1, 2, 3, 4]), lambda: db.insert_many([(1, [1, 2, 3, 4])]),
    lambda: db.update_metadata(1, {}), lambda: db.delete(1), lambda: db.delete_many([1]), lambda: db.get(1),
    lambda: db.get_many([1]), lambda: db.search([1, 2, 3, 4]), lambda: db.search_many([[1, 2, 3, 4]]),
    lambda: db.upsert([(1, [1, 2, 3, 4])]), lambda: db.update(1, {}),
    db.count, db.scroll, lambda: list(db.documents()), lambda: db.sample(1), lambda: db.facets("key"), db.clear,
    db.flush, db.compact, db.snapshot, db.health, db.stats, db.__enter__,
    lambda: db.collection("c"), lambda: db.create_collection("c", 4), db.collections,
    lambda: db.describe_collection("c"), lambda: db.update_collection("c", ef_search=9),
    lambda: db.rename_collection("c", "d"), lambda: db.set_alias("a", "c"), lambda: db.remove_alias("a"),
    lambda: db.move_collection("c", "local"),
    lambda: db.drop_collection("c"),
    lambda: db.insert_many([]), lambda: db.delete_many([]), lambda: db.get_many([]), lambda: db.search_many([]),
]
in_child(lambda: [refused(call) for call in calls])
insert(db, 11, 10)
db.close()
assert reopened_documents() == 20
""",
    "the child leaves the block, collects and exits": """
with db:
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        insert(db, 11, 10)
if pid == 0:
    del db
    gc.collect()
    sys.exit(0)
assert reopened_documents() == 20
""",
    "the child ends by an exception": """
with db:
    pid = os.fork()
    if pid == 0:
        raise SystemExit(0)
    assert os.waitpid(pid, 0)[1] == 0
    insert(db, 11, 10)
db.close()
assert reopened_documents() == 20
""",
    "an idle child does not keep the lock": """
pid = os.fork()
if pid == 0:
    signal.pause()
db.close()
check = "import pykyro, sys; pykyro.open(sys.argv[1], dimension=4).close()"
subprocess.run([sys.executable, "-c", check, path], check=True)
""",
    "an idle child does not keep the lock of a parent that was killed": """
readable, writable = os.pipe()
parent = os.fork()
if parent == 0:
    db = pykyro.open(path + "2", dimension=4)
    if os.fork() == 0:
        # Only the child knows that it has begun: until then it still has the descriptors of its parent's lock.
        os.write(writable, b"begun")
    signal.pause()
os.close(writable)
assert os.read(readable, 20) == b"begun"
os.kill(parent, signal.SIGKILL)
os.waitpid(parent, 0)
pykyro.open(path + "2", dimension=4).close()
""",
    "a child opens the directory once the parent has closed it": """
db.insert_many([(doc_id, [doc_id, doc_id % 7, doc_id % 11, 3]) for doc_id in range(100, 3100)])
db.flush()
questions = [[doc_id, 1, 2, 3] for doc_id in range(32)]
db.search_many(questions)
def child():
    try:
        opened()
    except pykyro.DataDirInUse as error:
        assert error.owner_pid == os.getppid()
    else:
        raise AssertionError("opened beside the parent")
in_child(child)
db.close()
def child_alone():
    with opened() as mine:
        mine.search_many(questions)
        mine.search_many(questions, exact=True)
        mine.insert_many([(doc_id, [doc_id, 1, 2, 5]) for doc_id in range(5000, 8000)])
        mine.flush()
        in_child(lambda: refused(mine.stats))
in_child(child_alone)
assert reopened_documents() == 6010
""",
    "threads write while the process forks": """
stop = threading.Event()
def write(first):
    doc_id = first
    while not stop.is_set():
        insert(db, doc_id, 1)
        db.search([1, 2, 3, 4])
        doc_id += 1
    counts.append(doc_id - first)
counts = []
threads = [threading.Thread(target=write, args=(1000 * (1 + n),)) for n in range(3)]
for thread in threads:
    thread.start()
for _ in range(15):
    def child():
        refused(lambda: insert(db, 1, 1))
        refused(lambda: db.search([1, 2, 3, 4]))
        refused(db.flush)
        db.close()
    in_child(child)
stop.set()
for thread in threads:
    thread.join()
db.close()
assert reopened_documents() == 10 + sum(counts)
""",
    "processes of multiprocessing and of subprocess": """
def target():
    refused(db.stats)
process = multiprocessing.get_context("fork").Process(target=target)
process.start()
process.join()
assert process.exitcode == 0
subprocess.run(["true"], check=True, preexec_fn=lambda: refused(db.stats))
insert(db, 11, 10)
db.close()
assert reopened_documents() == 20
""",
    "a child that was forked from within insert_many": """
pids = []
def documents():
    for doc_id in range(11, 21):
        if doc_id == 15:
            pids.append(os.fork())
        yield doc_id, [doc_id, 1, 2, 3]
try:
    db.insert_many(documents())
except pykyro.FailedPrecondition:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 7
db.close()
assert reopened_documents() == 20
""",
}


@pytest.mark.parametrize("story", _STORIES)
def test_fork(story: str, tmp_path: Path) -> None:
    program = _PROLOGUE + _STORIES[story]
    # A file, not a pipe: a child that is left over would keep the pipe open, and the test would wait for it.
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(tmp_path / "data")],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(PATIENCE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert (code, said.read_text()) == (0, "")


def test_every_method_is_tried() -> None:
    named = {name for name in dir(Database) if not name.startswith("_")} - {"close", "position"}
    story = _STORIES["the child is refused whatever it calls"]
    assert [name for name in named if f"db.{name}" not in story] == []


def test_a_database_nobody_has_any_more_lets_go_of_its_directory(tmp_path: Path) -> None:
    for turn in range(3):
        db = pykyro.open(tmp_path / "data", dimension=4)
        db.insert(turn + 1, [1, 2, 3, 4])
        assert db.stats().documents == turn + 1
        del db


def test_a_database_in_a_circle_lets_go_when_it_is_collected(tmp_path: Path) -> None:
    import gc

    circle: list[object] = [pykyro.open(tmp_path / "data", dimension=4)]
    circle.append(circle)
    with pytest.raises(pykyro.DataDirInUse, match="already open in this process"):
        pykyro.open(tmp_path / "data", dimension=4)
    del circle
    gc.collect()
    pykyro.open(tmp_path / "data", dimension=4).close()


@pytest.mark.parametrize("sync", ["data_only", "none"])
def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path, sync: str) -> None:
    program = (
        "import pykyro, sys\n"
        f"db = pykyro.open(sys.argv[1], dimension=4, sync={sync!r})\n"
        "db.insert(1, [1, 2, 3, 4])\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(tmp_path / "data")], check=True)
    with pykyro.open(tmp_path / "data", dimension=4) as db:
        assert db.stats().documents == 1
        assert not db._collections.default_engine.recovered.unclean


def test_an_open_database_cannot_be_pickled(tmp_path: Path) -> None:
    import pickle

    with (
        pykyro.open(tmp_path / "data", dimension=4) as db,
        pytest.raises(TypeError, match="pass its path on"),
    ):
        pickle.dumps(db)
