"""The judge of histories itself: what it accepts and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from tests.crash.oracle import Doc
from tests.histories.history import History, Seen, Written

from pykyro.model.requests import Ack, Delete, Put
from pykyro.model.types import Document

VECTOR = np.ones(2, dtype=np.float32)


def put(began: int, ended: int, lsn: int, version: str, existed: int = 1) -> Written:
    return Written(began, ended, Put(Document(1, VECTOR, {"v": version})), Ack(lsn, existed))


def doc(version: str) -> Doc:
    return Doc.of(VECTOR, {"v": version})


WRITES = [put(0, 2, 1, "a", existed=0), put(4, 6, 2, "b"), Written(8, 10, Delete(1), Ack(3, 1))]


@pytest.mark.parametrize(
    ("began", "ended", "seen"),
    [
        (1, 1, None),
        (1, 1, doc("a")),
        (3, 3, doc("a")),
        (5, 5, doc("a")),
        (5, 5, doc("b")),
        (7, 7, doc("b")),
        (9, 9, doc("b")),
        (9, 9, None),
        (11, 11, None),
        (3, 9, doc("b")),
    ],
)
def test_reads_that_some_order_explains(began: int, ended: int, seen: Doc | None) -> None:
    history = History(writes=list(WRITES), reads=[Seen(began, ended, 1, seen)])
    assert history.judge() == {}


@pytest.mark.parametrize(
    ("began", "ended", "seen", "reason"),
    [
        (3, 3, None, "stale read"),
        (7, 7, doc("a"), "stale read"),
        (11, 11, doc("b"), "stale read"),
        (3, 3, doc("b"), "value from nowhere"),
        (7, 7, doc("x"), "value from nowhere"),
    ],
)
def test_reads_that_none_explains(began: int, ended: int, seen: Doc | None, reason: str) -> None:
    history = History(writes=list(WRITES), reads=[Seen(began, ended, 1, seen)])
    with pytest.raises(AssertionError, match=reason):
        history.judge()


def test_second_read_may_not_go_back_behind_the_first() -> None:
    forwards = [Seen(5, 5, 1, doc("a")), Seen(5, 5, 1, doc("b"))]
    History(writes=list(WRITES), reads=forwards).judge()
    backwards = [Seen(4, 5, 1, doc("b")), Seen(6, 6, 1, doc("a"))]
    writes = [put(0, 2, 1, "a", existed=0), put(4, 9, 2, "b")]
    with pytest.raises(AssertionError, match="stale read"):
        History(writes=writes, reads=backwards).judge()


def test_delete_that_met_nothing_in_the_order_of_the_log_is_found() -> None:
    writes = [put(0, 1, 1, "a", existed=0), *(Written(2, 3, Delete(1), Ack(lsn, 1)) for lsn in (2, 3))]
    with pytest.raises(AssertionError, match="met 1 documents, in the order of the log it meets 0"):
        History(writes=writes).judge()
