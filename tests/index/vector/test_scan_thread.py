"""Work that is shared with a helper while one is free."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from tests.patience import PATIENCE_S

from pykyro.index.vector.scan_thread import Helpers, Work

AT_EXIT = """
import atexit, threading
from pykyro.index.vector.scan_thread import Helpers
helpers = Helpers(1)

def late():
    threading.main_thread().join()
    assert helpers.both(lambda: (int, int)) in ((0, 0), None)
    print("done")

def last():
    assert helpers.both(lambda: (int, int)) in ((0, 0), None)
    print("done at exit")

atexit.register(last)

threading.Thread(target=late).start()
"""

FORKED = """
import os, signal
from pykyro.index.vector.scan_thread import Helpers
helpers = Helpers(1)
assert helpers.both(lambda: (int, int)) == (0, 0)
child = os.fork()
if child == 0:
    signal.alarm(30)
    os._exit(0 if helpers.both(lambda: (int, int)) == (0, 0) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def idents() -> tuple[Work[int], Work[int]]:
    return threading.get_ident, threading.get_ident


def test_both_halves_are_done_at_the_same_time_while_a_helper_is_free() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)

    def half(name: str) -> tuple[str, int]:
        meeting.wait()
        return name, threading.get_ident()

    done = Helpers(1).both(lambda: (lambda: half("one"), lambda: half("other")))
    assert done is not None
    (one, here), (other, elsewhere) = done
    assert (one, other) == ("one", "other")
    assert here == threading.get_ident() != elsewhere


@pytest.mark.parametrize("threads", [0, 1])
def test_without_a_free_helper_the_halves_are_not_even_made(threads: int) -> None:
    helpers = Helpers(threads)

    def inner() -> tuple[int, int] | None:
        return helpers.both(lambda: pytest.fail("no helper is free"))

    if threads:
        assert helpers.both(lambda: (inner, inner)) == (None, None)
        assert helpers.both(idents) is not None
    else:
        assert inner() is None


def test_a_failure_of_either_is_told_and_the_helper_is_free_again() -> None:
    helpers = Helpers(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            helpers.both(lambda: (lambda: 1 // 0, lambda: 1))
        with pytest.raises(ZeroDivisionError):
            helpers.both(lambda: (lambda: 1, lambda: 1 // 0))
    assert helpers.both(idents) is not None


def test_a_forked_process_has_helpers_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORKED], timeout=PATIENCE_S, check=True)


def test_on_the_way_out_of_the_interpreter_nobody_waits_for_ever() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert (ended.stdout, ended.stderr) == ("done\ndone at exit\n", "")
