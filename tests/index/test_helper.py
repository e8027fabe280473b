"""Work that is shared with a helper while one is free."""

from __future__ import annotations

import threading

import pytest

from kyrodb.index.helper import Helpers


def test_both_halves_are_done_at_the_same_time_while_a_helper_is_free() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def half(name: str) -> tuple[str, int]:
        meeting.wait()
        return name, threading.get_ident()

    (one, here), (other, elsewhere) = Helpers(1).both(lambda: half("one"), lambda: half("other"))
    assert (one, other) == ("one", "other")
    assert here == threading.get_ident() != elsewhere


@pytest.mark.parametrize("threads", [0, 1])
def test_without_a_free_helper_both_are_done_by_who_asks(threads: int) -> None:
    helpers = Helpers(threads)

    def inner() -> tuple[int, int]:
        return helpers.both(threading.get_ident, threading.get_ident)

    if threads:
        asked, (one, other) = helpers.both(inner, threading.get_ident)[0], inner()
        assert asked == (threading.get_ident(), threading.get_ident())
        assert one != other
    else:
        assert inner() == (threading.get_ident(), threading.get_ident())


def test_a_failure_of_either_is_told_and_the_helper_is_free_again() -> None:
    helpers = Helpers(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            helpers.both(lambda: 1 // 0, lambda: 1)
        with pytest.raises(ZeroDivisionError):
            helpers.both(lambda: 1, lambda: 1 // 0)
    one, other = helpers.both(threading.get_ident, threading.get_ident)
    assert one != other
