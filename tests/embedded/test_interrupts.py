"""Exceptions from signal handlers, Ctrl-C above all, at every place of the main thread where one may come."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROLOGUE = """
import faulthandler, os, random, signal, sys, threading, time
import pykyro
faulthandler.dump_traceback_later(250, exit=True)
path = sys.argv[1]

class Interrupt(BaseException):
    pass

def opened():
    return pykyro.open(path, dimension=4)

def vector(n):
    return [1 + n % 7, 1 + n % 11, 1 + n % 13, 3]

class Others:
    '''Threads that write all the time, and must neither wait for ever nor be refused.'''

    def __init__(self, db):
        self.acknowledged, self.failures, self.stop = {}, [], False
        self.threads = [threading.Thread(target=self.write, args=(db, 10_000 * n)) for n in (1, 2)]
        for thread in self.threads:
            thread.start()

    def write(self, db, first):
        for n in range(100_000):
            if self.stop:
                return
            doc_id = first + n % 100
            try:
                db.insert(doc_id, vector(n), {"n": n})
            except BaseException as error:
                self.failures.append(error)
                return
            self.acknowledged[doc_id] = n
            time.sleep(0.002)

    def end(self):
        before = dict(self.acknowledged)
        wanted = time.monotonic() + 100
        while self.acknowledged == before and time.monotonic() < wanted:
            time.sleep(0.01)
        assert self.acknowledged != before, "the others hang"
        self.stop = True
        for thread in self.threads:
            thread.join()
        assert self.failures == [], self.failures

def check(mine, others):
    with opened() as db:
        assert db._collections.default_engine.recovered.warnings == []
        for doc_id in mine:
            assert db.get(doc_id) is not None, doc_id
        for doc_id, n in others.acknowledged.items():
            assert int(db.get(doc_id).metadata["n"]) >= n, doc_id
        assert db.search([1, 1, 1, 1], k=1, exact=True).matched == db.stats().documents
"""

_EVERY_POINT = """
# A profile function is called where a signal handler may be: when a Python function begins, and after a call.
def interrupted_at(point, work):
    seen = 0
    def profile(frame, event, argument):
        nonlocal seen
        if event != "c_call":
            seen += 1
            if seen == point:
                sys.setprofile(None)
                raise Interrupt
    sys.setprofile(profile)
    try:
        work()
    except Interrupt:
        return True
    finally:
        sys.setprofile(None)
    return False

db = opened()
for doc_id in range(1, 60):
    db.insert(doc_id, vector(doc_id))
others, mine = Others(db), set()

def insert(doc_id):
    db.insert(doc_id, vector(doc_id))
    mine.add(doc_id)

works = {
    "insert": lambda n: insert(1000 + n),
    "insert_many": lambda n: db.insert_many([(2000 + 2 * n + k, vector(k)) for k in range(2)]),
    "update": lambda n: db.update_metadata(1, {"n": n}, merge=True),
    "delete": lambda n: db.delete(1 + n % 50),
    "search": lambda n: db.search(vector(n % 9), k=3, filter={"n": {"$gte": 0}} if n % 2 else None),
    "get": lambda n: db.get(51),
    "flush": lambda n: db.flush(),
    "snapshot": lambda n: db.snapshot(),
    "health": lambda n: db.health(),
}
for name, work in works.items():
    point = 1
    while interrupted_at(point, lambda: work(point)):
        if point % 10 == 0:
            insert(5000 + point)
            assert db.get(55) is not None
            assert len(db.search(vector(0), k=3)) == 3
        point += 1
    assert point > 20, (name, point)
others.end()
point = 1
while interrupted_at(point, db.close):
    db.close()
    db = opened()
    point += 1
check(mine, others)
def open_and_close():
    opened().close()
point = 1
while interrupted_at(point, open_and_close):
    opened().close()
    point += 1
assert point > 20
check(mine, others)
"""

_STORM = """
def handler(number, frame):
    raise Interrupt if number == signal.SIGALRM else KeyboardInterrupt

signal.signal(signal.SIGALRM, handler)
signal.signal(signal.SIGINT, handler)
db = opened()
for doc_id in range(1, 60):
    db.insert(doc_id, vector(doc_id))
others, mine, source = Others(db), set(), random.Random(1)
interrupts = 0
for n in range(1500):
    work = source.choice(["insert", "insert", "search", "delete", "many", "flush" if n % 50 == 0 else "get"])
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, source.uniform(0.00002, 0.003), source.choice([0, 0.0002]))
            if work == "insert":
                db.insert(1000 + n, vector(n))
                mine.add(1000 + n)
            elif work == "many":
                report = db.insert_many([(3000 + 2 * n + k, vector(k)) for k in range(2)])
                mine.update([3000 + 2 * n, 3001 + 2 * n] if report.inserted == 2 else [])
            elif work == "search":
                db.search(vector(n), k=3)
            elif work == "delete":
                db.delete(1 + n % 50)
            elif work == "flush":
                db.flush()
            else:
                db.get(55)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (Interrupt, KeyboardInterrupt):
        interrupts += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
assert interrupts > 50, interrupts
db.insert(60, vector(60))
others.end()
db.close()
check({*mine, 60}, others)
"""

_HANDLER_THAT_WRITES = """
# A handler may use the database itself, also when it comes in the midst of a write.
def handler(number, frame):
    calls.append(1)
    db.insert(100_000 + len(calls), vector(1))
    signal.setitimer(signal.ITIMER_REAL, 0.003)

signal.signal(signal.SIGALRM, handler)
calls, db = [], opened()
signal.setitimer(signal.ITIMER_REAL, 0.001)
for n in range(300):
    db.insert(1 + n, vector(n))
signal.setitimer(signal.ITIMER_REAL, 0)
assert calls
db.close()
with opened() as db:
    assert db.stats().documents == 300 + len(calls)
"""

_EXCEPTIONS_LIKE_THOSE_OF_VALUES = """
# What a handler raises is for the caller, also where what a value raises is taken for a fault of the value.
import collections.abc
import functools
import numpy as np

class Slow:
    def __array__(self, dtype=None, copy=None):
        os.kill(os.getpid(), signal.SIGALRM)
        return np.ones(4, np.float32)

class SlowDict(collections.abc.Mapping):
    def __len__(self):
        return 1
    def __iter__(self):
        os.kill(os.getpid(), signal.SIGALRM)
        return iter(["a"])
    def __getitem__(self, key):
        return "b"

class SlowInt:
    def __index__(self):
        os.kill(os.getpid(), signal.SIGALRM)
        return 7

def handler(number, frame, extra=None):
    raise TimeoutError("too slow")

class Handler:
    def method(self, number, frame):
        raise TimeoutError("too slow")
    def __call__(self, number, frame):
        raise TimeoutError("too slow")

db = opened()
good = [1, 2, 3, 4]
for one in (handler, functools.partial(handler, extra=1), Handler().method, Handler()):
    signal.signal(signal.SIGALRM, one)
    for work in (
        lambda: db.insert(1, Slow()), lambda: db.insert(1, good, SlowDict()), lambda: db.insert(SlowInt(), good),
        lambda: db.insert_many([(1, good), (2, Slow())]), lambda: db.search(Slow()),
    ):
        try:
            work()
        except TimeoutError:
            pass
        else:
            raise AssertionError(one)
db.close()
"""

_CLOSE_AGAIN = """
# A close that was interrupted goes on; the next one waits until the directory is free.
release, reached = threading.Event(), threading.Event()
db = opened()
sound = db._collections.default_engine._context.log.close
def slow():
    reached.set()
    release.wait()
    sound()
db._collections.default_engine._context.log.close = slow
thread = threading.Thread(target=db.close)
thread.start()
reached.wait()
threading.Timer(0.2, release.set).start()
db.close()
opened().close()
thread.join()
"""


@pytest.mark.parametrize(
    "program",
    [_EVERY_POINT, _STORM, _HANDLER_THAT_WRITES, _EXCEPTIONS_LIKE_THOSE_OF_VALUES, _CLOSE_AGAIN],
    ids=["points", "storm", "handler", "values", "close"],
)
def test_interrupts(program: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROLOGUE + program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
