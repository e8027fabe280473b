"""A client in another process, on another event loop, or closed says so at the first call, and nothing hangs.

Each story is a program of its own: what happens to gRPC after a fork is for good, and warnings of coroutines that
nobody awaited come when the interpreter likes.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest
from tests.client.scripted import ok, scripted_server

import pykyro
from pykyro.proto import kyrodb_pb2 as pb

HEALTHY = {"Health": [ok(pb.HealthResponse(status=pb.HealthResponse.HEALTHY))]}
BEGIN = """
import asyncio, gc, os, signal, sys, threading
import pykyro

def told(call):
    try:
        return call().status
    except pykyro.KyroError as error:
        return f"{type(error).__name__}: {error}"

def in_child(call, end=sys.exit):
    # An alarm ends what hangs, with a signal that the status shows.
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        os.write(write, str(call()).encode())
        end(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    return f"{text} (status {os.waitpid(pid, 0)[1]})"

target = sys.argv[1]
"""


@pytest.fixture
def run() -> Iterator[Callable[[str], list[str]]]:
    """Runs a program with the address of a server; the lines it prints. It must end well and warn of nothing."""
    with scripted_server(HEALTHY) as script:

        def ran(story: str) -> list[str]:
            done = subprocess.run(
                [sys.executable, "-X", "dev", "-c", BEGIN + textwrap.dedent(story), script.target],
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert done.returncode == 0, done.stderr
            assert "Warning" not in done.stderr
            assert "Traceback" not in done.stderr
            return done.stdout.splitlines()

        yield ran


def test_a_forked_process_is_told_to_make_its_own(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        db = pykyro.Client(target, timeout_s=60)
        print(told(db.health))
        for _ in range(3):
            print(in_child(lambda: told(db.health)))
        print(in_child(lambda: told(lambda: pykyro.Client(target, timeout_s=60).health())))
        for nothing in db.insert_many, db.delete_many, db.get_many, db.search_many:
            print(in_child(lambda: told(lambda: nothing([]))))
        print(told(db.health))
        """
    )
    assert lines[0] == lines[-1] == "healthy"
    for line in lines[1:4] + lines[5:9]:
        assert line.startswith("FailedPrecondition: this client belongs to process ")
        assert line.endswith("make a client of its own here (status 0)")
    assert lines[4] == "healthy (status 0)"


def test_a_fork_beside_calls_under_way(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        db, busy = (pykyro.Client(target, timeout_s=20) for _ in range(2))
        stop = threading.Event()

        def work():
            while not stop.is_set():
                told(busy.health)  # now and then gRPC loses a call of the parent that a fork came in between of

        def let_go():
            global db
            db.close()
            db = None
            gc.collect()

        db.health()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for call in (lambda: told(db.health), lambda: told(busy.health), let_go, lambda: None) * 3:
            # As children of multiprocessing end. gRPC does not survive the interpreter's own end in a process that
            # was forked while other threads were inside gRPC.
            print(in_child(call, end=os._exit))
        stop.set()
        for thread in threads:
            thread.join()
        """
    )
    assert len(lines) == 12
    assert [line for line in lines if not line.endswith("(status 0)")] == []
    assert sum(line.startswith("FailedPrecondition: ") for line in lines) == 6


def test_a_process_of_multiprocessing(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        import multiprocessing
        db = pykyro.Client(target)
        db.health()
        def work(pipe):
            with db:
                pipe.send(told(db.health))
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs,))
        process.start()
        print(ours.recv())
        process.join(60)
        print(process.exitcode)
        print(told(db.health))
        """
    )
    assert lines[0].startswith("FailedPrecondition: this client belongs to process ")
    assert lines[1:] == ["0", "healthy"]


def test_an_asynchronous_client_in_a_forked_process(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        async def main():
            db = pykyro.AsyncClient(target)
            print((await db.health()).status, flush=True)
            return db

        def of_old():
            return told(lambda: asyncio.run(db.health()))

        def of_new():
            return told(lambda: asyncio.run(pykyro.AsyncClient(target).health()))

        def closed():
            asyncio.run(db.close())

        db = asyncio.run(main())
        for call in (of_old, of_new, closed, lambda: None, lambda: told(pykyro.Client(target).health)):
            print(in_child(call), flush=True)
        """
    )
    assert lines[0] == "healthy"
    assert lines[1].startswith("FailedPrecondition: this client belongs to process ")
    assert lines[2].startswith("FailedPrecondition: an AsyncClient was in use in process ")
    assert "use pykyro.Client here; or" in lines[2]
    assert lines[3:] == ["None (status 0)", "None (status 0)", "healthy (status 0)"]
    assert [line for line in lines[1:] if not line.endswith("(status 0)")] == []


def test_a_second_event_loop(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        db = pykyro.AsyncClient(target)
        print(told(lambda: asyncio.run(db.health())))
        print(told(lambda: asyncio.run(db.health())))

        async def gathered():
            found = await asyncio.gather(db.health(), db.get(1), db.search([1.0]), return_exceptions=True)
            print(*(type(one).__name__ for one in found))
            async with db:
                pass

        asyncio.run(gathered())
        print(told(lambda: asyncio.run(db.health())))
        asyncio.run(db.close())
        del db
        gc.collect()

        async def anew():
            async with pykyro.AsyncClient(target) as db:
                return await db.health()

        print(told(lambda: asyncio.run(anew())))
        """
    )
    assert lines[0] == "healthy"
    assert lines[1].startswith("FailedPrecondition: this AsyncClient belongs to the event loop on which")
    assert "which has ended: make one inside each asyncio.run" in lines[1]
    assert lines[2] == "FailedPrecondition FailedPrecondition FailedPrecondition"
    assert lines[3:] == ["Unavailable: the client is closed", "healthy"]


def test_the_event_loop_of_another_thread(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        async def main():
            async with pykyro.AsyncClient(target) as db:
                print((await db.health()).status)
                print(await asyncio.to_thread(lambda: told(lambda: asyncio.run(db.health()))))
                loop = asyncio.get_running_loop()
                def asked():
                    return asyncio.run_coroutine_threadsafe(db.health(), loop).result(60)
                print((await asyncio.to_thread(asked)).status)
                await asyncio.to_thread(lambda: asyncio.run(db.close()))
                try:
                    await db.health()
                except pykyro.Unavailable as error:
                    print(error)

        asyncio.run(main())
        """
    )
    assert lines[0] == lines[2] == "healthy"
    assert "which is not the one running here" in lines[1]
    assert lines[3] == "the client is closed"


def test_no_event_loop_at_all(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        def driven():
            call = pykyro.AsyncClient(target).health()
            try:
                call.send(None)
            finally:
                call.close()

        print(told(driven))
        """
    )
    assert lines == [
        "FailedPrecondition: an AsyncClient needs a running asyncio event loop, and there is none here: use "
        "pykyro.Client outside of asyncio"
    ]


def test_a_closed_client(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        db = pykyro.Client(target)
        db.close()
        db.close()
        print(told(db.health))
        print(told(lambda: db.get_many([])))

        async def main(call):
            db = pykyro.AsyncClient(target)
            await db.close()
            await db.close()
            await call(db)

        print(told(lambda: asyncio.run(main(lambda db: db.health()))))
        print(told(lambda: asyncio.run(main(lambda db: db.get_many([])))))
        """
    )
    assert lines == ["Unavailable: the client is closed"] * 4


def test_many_threads_share_a_client(run: Callable[[str], list[str]]) -> None:
    lines = run(
        """
        from concurrent.futures import ThreadPoolExecutor
        with pykyro.Client(target) as db, ThreadPoolExecutor(16) as pool:
            print({status for status in pool.map(lambda _: told(db.health), range(400))})
        """
    )
    assert lines == ["{'healthy'}"]


def test_what_is_called_and_not_awaited_is_warned_of_by_its_name() -> None:
    with pytest.warns(RuntimeWarning, match=r"coroutine 'AsyncClient.health' was never awaited"):
        pykyro.AsyncClient("127.0.0.1:1").health()  # type: ignore[unused-coroutine]
