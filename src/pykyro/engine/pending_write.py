"""A write that waits for its group; see write_path.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.requests import Ack, Operation

Answer: TypeAlias = Ack | KyroError


class Turn(Protocol):
    """A lock that is taken until its write is answered, or has to lead a group."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...


class LeaderTurns(Protocol):
    """Who is told that a group is to be led."""

    def put(self, leads: bool, /) -> None:
        """True: a group is to be led. False: none will be any more."""
        ...


@dataclass(slots=True, eq=False)
class PendingWrite:
    """One caller's operations on their way into a group, `size` of them; `weight` is about their bytes, if the caller
    bounds them.

    `prepare`, if there is one, makes the operations once their group is taken, in the thread that leads it; an error
    in the place of one is its answer. `answers` has one item an operation once the group is written. `turn` is what
    the caller's thread waits for; None when the write was submitted. `withdrawn` says whether nobody wants a
    submitted write any more; then it stays unanswered.
    """

    operations: Sequence[Operation | KyroError]
    size: int
    weight: int = 0
    prepare: Callable[[], Sequence[Operation | KyroError]] | None = None
    withdrawn: Callable[[], bool] | None = None
    turn: Turn | None = None
    answers: Sequence[Answer] | None = None


def as_answer(error: BaseException) -> KyroError:
    """What the caller of a write is told that failed unexpectedly."""
    return error if isinstance(error, KyroError) else Unavailable(f"write failed: {error}")
