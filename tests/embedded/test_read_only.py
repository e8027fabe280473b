"""Several processes read a directory while one writes it: each read shows what was acknowledged before it began."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.patience import wait_until

import pykyro
from pykyro import FailedPrecondition, InvalidArgument, NotFound, StorageError, Unavailable
from pykyro.embedded.collections import Database
from pykyro.storage import filename

_WRITER = """
import json, sys
import pykyro

db = pykyro.open(sys.argv[1], **json.loads(sys.argv[2]))
print(json.dumps("open"), flush=True)
for line in sys.stdin:
    collection, method, arguments, named = json.loads(line)
    target = db.collection(collection) if collection else db
    try:
        answer = getattr(target, method)(*arguments, **named)
    except pykyro.KyroError as error:
        answer = type(error).__name__ + ": " + str(error)
    answer = answer if isinstance(answer, (bool, int, str)) else None
    print(json.dumps([answer, target.position]), flush=True)
"""


class Writer:
    """Another process that has the directory open and does what it is told."""

    def __init__(self, path: Path, **options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "open"
        self.pid = self._process.pid
        self.position = 0

    def _answer(self) -> object:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def do(self, method: str, *arguments: object, collection: str = "", **named: object) -> object:
        """Its answer, once what was done is acknowledged."""
        assert self._process.stdin is not None
        print(json.dumps([collection, method, arguments, named]), file=self._process.stdin, flush=True)
        answer = self._answer()
        assert isinstance(answer, list)
        self.position = answer[1]
        return answer[0]

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=100)


@contextlib.contextmanager
def writing(path: Path, **options: object) -> Iterator[Writer]:
    writer = Writer(path, **options)
    try:
        yield writer
    finally:
        writer.close()


def _vector(seed: int) -> list[float]:
    return [random.Random(seed * 31 + n).uniform(-1, 1) for n in range(4)]


def _content(db: Database, collection: str = "") -> dict[object, object]:
    target = db.collection(collection) if collection else db
    return {document.id: document.metadata.get("n") for document in target.documents()}


def test_a_read_shows_every_write_acknowledged_before_it_through_seals_and_merges(tmp_path: Path) -> None:
    chance, documents = random.Random(1), dict[object, object]()
    with (
        writing(tmp_path, dimension=4, hot_rows_max=50, wal_retention_bytes=0) as writer,
        pykyro.open(tmp_path, read_only=True) as early,
        pykyro.open(tmp_path, read_only=True) as late,
    ):
        for number in range(700):
            doc_id, kind = chance.randint(1, 300), chance.random()
            if kind < 0.6:
                writer.do("insert", doc_id, _vector(number), {"n": number})
                documents[doc_id] = number
            elif kind < 0.8:
                assert writer.do("delete", doc_id) == (documents.pop(doc_id, None) is not None)
            elif writer.do("update_metadata", doc_id, {"n": number}, merge=kind < 0.9):
                documents[doc_id] = number
            found = early.get(doc_id)
            assert (None if found is None else found.metadata["n"]) == documents.get(doc_id)
            assert early.search(_vector(number), k=1).position >= writer.position
            if number % 250 == 0:
                writer.do("flush")
                # This one looks seldom, and finds the log trimmed.
                assert _content(late) == _content(early) == documents
        assert early.count() == late.count() == len(documents)
        for number in range(20):
            with_all = early.search(_vector(number), k=300, exact=True)
            assert {hit.id for hit in with_all} == documents.keys()
        assert early._engine is not None
        assert early._engine.following is not None
        assert early._engine.following.taken_over > 3
    with pykyro.open(tmp_path, read_only=True) as db:
        assert _content(db) == documents


def test_readers_take_no_lock_and_write_nothing(tmp_path: Path) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        return {
            str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(tmp_path.rglob("*"))
        }

    with pykyro.open(tmp_path, dimension=4) as db:
        db.insert_many((n, _vector(n)) for n in range(1, 100))
        db.create_collection("other", 4).insert(1, _vector(1))
    before = everything()
    with pykyro.open(tmp_path, read_only=True) as one, pykyro.open(tmp_path, read_only=True) as other:
        assert one.count() == other.count() == 99
        assert one.collection("other").count() == 1
        assert one.stats().documents == 99
        assert everything() == before
        # The writer finds nobody in its way, and so do readers find each other.
        with writing(tmp_path) as writer:
            writer.do("insert", 100, _vector(100))
            assert one.count() == other.count() == 100
    assert one.health is not None


def test_what_writes_is_refused_and_told_who_may(tmp_path: Path) -> None:
    writes: list[Callable[[Database], object]] = [
        lambda db: db.insert(1, _vector(1)),
        lambda db: db.insert_many([(1, _vector(1))]),
        lambda db: db.insert_many([(1, _vector(1))], atomic=True),
        lambda db: db.update_metadata(1, {}),
        lambda db: db.delete(1),
        lambda db: db.delete_many([1]),
        lambda db: db.delete_many(filter={"n": 1}),
        lambda db: db.clear(),
        lambda db: db.flush(),
        lambda db: db.flush(force=False),
        lambda db: db.snapshot(),
        lambda db: db.create_collection("new", 4),
        lambda db: db.update_collection("c", ef_search=9),
        lambda db: db.move_collection("c", "postgres"),
        lambda db: db.rename_collection("c", "d"),
        lambda db: db.set_alias("a", "c"),
        lambda db: db.remove_alias("a"),
        lambda db: db.drop_collection("c"),
        lambda db: db.collection("c").insert(1, _vector(1)),
    ]
    with writing(tmp_path, dimension=4) as writer:
        writer.do("insert", 1, _vector(1))
        writer.do("create_collection", "c", 4)
        with pykyro.open(tmp_path, read_only=True) as db:
            for write in writes:
                with pytest.raises(FailedPrecondition, match=f"process {writer.pid} has it open for writing"):
                    write(db)
            assert db.count() == 1
            assert db.health().status == "healthy"
            writer.close()
            with pytest.raises(FailedPrecondition, match="open it without read_only"):
                db.insert(1, _vector(1))


def test_options_of_writing_and_directories_without_a_database_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="hot_rows_max is about writing"):
        pykyro.open(tmp_path, read_only=True, hot_rows_max=5)
    with pytest.raises(StorageError, match="no database here"):
        pykyro.open(tmp_path, read_only=True)
    with pytest.raises(StorageError, match="no database here"):
        pykyro.open(tmp_path / "nothing", read_only=True)
    assert list(tmp_path.iterdir()) == []
    pykyro.open(tmp_path, dimension=4).close()
    with pytest.raises(pykyro.DataDirMismatch, match="dimension 4"):
        pykyro.open(tmp_path, dimension=5, read_only=True)


def test_collections_come_and_go_under_a_reader(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        writer.do("create_collection", "first", 4, id_type="text")
        with pykyro.open(tmp_path, read_only=True) as db:
            with pytest.raises(NotFound):
                db.collection("second").count()
            writer.do("insert", "a", _vector(1), {"n": 1}, collection="first")
            assert _content(db, "first") == {"a": 1}
            writer.do("create_collection", "second", 4)
            writer.do("insert", 7, _vector(1), {"n": 2}, collection="second")
            assert _content(db, "second") == {7: 2}
            writer.do("set_alias", "here", "second")
            writer.do("rename_collection", "first", "renamed")
            assert _content(db, "here") == {7: 2}
            assert [info.name for info in db.collections()] == ["renamed", "second"]
            writer.do("drop_collection", "second")
            with pytest.raises(NotFound):
                db.collection("second").count()
            writer.do("create_collection", "second", 4)
            assert _content(db, "second") == {}
            assert _content(db, "renamed") == {"a": 1}


def test_the_writer_is_killed_and_another_takes_over(tmp_path: Path) -> None:
    documents = dict[object, object]()
    reader: Database | None = None
    for life in range(5):
        writer = Writer(tmp_path, dimension=4, hot_rows_max=40, wal_retention_bytes=0)
        reader = reader or pykyro.open(tmp_path, read_only=True)
        for number in range(life * 100, life * 100 + 70):
            writer.do("insert", number + 1, _vector(number), {"n": number})
            documents[number + 1] = number
        assert _content(reader) == documents
        writer.kill()
        assert _content(reader) == documents
        with pykyro.open(tmp_path, read_only=True) as another:
            assert _content(another) == documents
    assert reader is not None
    reader.close()


def test_a_reader_waits_for_a_position_or_names_both(tmp_path: Path) -> None:
    with writing(tmp_path, dimension=4) as writer:
        writer.do("insert", 1, _vector(1))
        with pykyro.open(tmp_path, read_only=True) as db:
            position = writer.position
            with pytest.raises(
                Unavailable, match=rf"at position {position}, and min_position is {position + 1}"
            ):
                db.get(1, min_position=position + 1, max_wait_s=0.05)
            timer = threading.Timer(0.2, lambda: writer.do("insert", 2, _vector(2)))
            timer.start()
            assert db.get(2, min_position=position + 1, max_wait_s=60) is not None
            timer.join()


def test_documents_go_at_their_instant_without_anybody_saying_so(tmp_path: Path) -> None:
    with writing(tmp_path, dimension=4) as writer, pykyro.open(tmp_path, read_only=True) as db:
        for doc_id in range(1, 21):
            writer.do("insert", doc_id, _vector(doc_id), {"n": doc_id}, ttl=0.3 if doc_id % 2 else 3600)
        wait_until(lambda: db.count() == 10)
        writer.do("flush")
        writer.do("insert", 30, _vector(30), {"n": 30})
        assert _content(db) == {30: 30} | {doc_id: doc_id for doc_id in range(2, 21, 2)}


def test_a_reader_that_took_a_document_out_too_early_takes_it_back(tmp_path: Path) -> None:
    """Its clock is ahead of the writer's, as it looks to a reader whose read comes between the instant and the write
    that moves it."""
    with writing(tmp_path, dimension=4) as writer, pykyro.open(tmp_path, read_only=True) as db:
        writer.do("insert", 1, _vector(1), {"n": 1}, ttl=100)
        assert db.count() == 1
        assert db._engine is not None
        clock = db._engine.following._context.clock  # type: ignore[union-attr]
        ahead_us = 200_000_000
        now = clock.wall_us
        clock.wall_us = lambda: now() + ahead_us  # type: ignore[method-assign]
        assert db.count() == 0
        writer.do("update_metadata", 1, {"n": 2}, merge=True, ttl=1000)
        assert _content(db) == {1: 2}


def test_another_history_in_the_directory_is_read_anew(tmp_path: Path) -> None:
    with pykyro.open(tmp_path, dimension=4) as db:
        db.insert_many((n, _vector(n), {"n": n}) for n in range(1, 11))
        db.flush()
        db.insert_many((n, _vector(n), {"n": n}) for n in range(11, 21))
    with pykyro.open(tmp_path, read_only=True) as reader:
        assert reader.count() == 20
        for file in tmp_path.glob("*.wal"):
            file.unlink()
        with writing(tmp_path) as writer:  # the last resort: from the checkpoint
            assert _content(reader) == {n: n for n in range(1, 11)}
            writer.do("insert", 99, _vector(99), {"n": 99})
            assert _content(reader) == {n: n for n in range(1, 11)} | {99: 99}


def test_a_directory_that_is_moved_away_is_said_to_be_gone(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data", dimension=4) as db:
        db.insert(1, _vector(1))
    with pykyro.open(tmp_path / "data", read_only=True) as reader:
        (tmp_path / "data").rename(tmp_path / "aside")
        with pytest.raises(StorageError, match="moved or removed"):
            reader.count()
        (tmp_path / "aside").rename(tmp_path / "data")
        assert reader.count() == 1


def test_a_forked_child_cannot_use_the_parents_reader(tmp_path: Path) -> None:
    pykyro.open(tmp_path, dimension=4).close()
    with pykyro.open(tmp_path, read_only=True) as reader:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                reader.count()
            except FailedPrecondition:
                with pykyro.open(tmp_path, read_only=True) as own:
                    code = own.count()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert reader.count() == 0


def test_threads_that_read_while_the_reader_follows_see_no_document_twice_or_missing(tmp_path: Path) -> None:
    """Documents 1 to 50 are there all the while; the writer replaces them, seals and merges."""
    failures = list[str]()
    with writing(tmp_path, dimension=4, hot_rows_max=30, wal_retention_bytes=0) as writer:
        for doc_id in range(1, 51):
            writer.do("insert", doc_id, _vector(doc_id), {"n": 0})
        with pykyro.open(tmp_path, read_only=True) as db:
            done = threading.Event()

            def read() -> None:
                while not done.is_set():
                    hits = [hit.id for hit in db.search(_vector(1), k=60, exact=True)]
                    ids = [document.id for document in db.scroll(limit=100)]
                    if sorted(hits) != sorted(ids) != list(range(1, 51)):
                        failures.append(f"{sorted(hits)} {ids}")

            threads = [threading.Thread(target=read) for _ in range(2)]
            for thread in threads:
                thread.start()
            for number in range(250):
                writer.do("insert", number % 50 + 1, _vector(number), {"n": number})
            done.set()
            for thread in threads:
                thread.join()
    assert not failures


def test_without_the_note_of_a_writer_every_whole_frame_is_read(tmp_path: Path) -> None:
    """As after a power loss, in a copy, or where an earlier version wrote."""
    writer = Writer(tmp_path, dimension=4)
    for doc_id in range(1, 10):
        writer.do("insert", doc_id, _vector(doc_id), {"n": doc_id})
    writer.kill()
    (tmp_path / filename.POSITION).unlink()
    with pykyro.open(tmp_path, read_only=True) as reader:
        assert reader.count() == 9
        with writing(tmp_path) as successor:
            successor.do("insert", 10, _vector(10))
            assert reader.count() == 10
