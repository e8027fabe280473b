"""The life of collections, on a disk whose power is cut or that fails at any call: nothing acknowledged is lost, and
nothing is half there."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

from tests.crash.disk import AllKept, AllLost, Loss, RandomLoss
from tests.crash.fault_filesystem import CHANGES, Fault, FaultFS, PowerCut
from tests.crash.rigs import repeatable
from tests.database.opening import SMALL, found, opened, shut, store

from pykyro.database.collections import Collections
from pykyro.model.errors import KyroError
from pykyro.storage import filename

PATH = Path("/data")
State = dict[str, list[int]]


def close_idle(collections: Collections) -> None:
    for slot in list(collections.open._slots.values()):
        collections.open.close_idle(slot)


LIFE: tuple[tuple[str, Callable[[Collections], object], State], ...] = (
    ("create a", lambda c: c.create("a", SMALL), {"a": []}),
    ("insert into a", lambda c: store(c, "a", 1), {"a": [1]}),
    ("alias", lambda c: c.set_alias("x", "a"), {"a": [1], "x": [1]}),
    ("create b", lambda c: c.create("b", SMALL), {"a": [1], "x": [1], "b": []}),
    ("insert into b", lambda c: store(c, "b", 2), {"a": [1], "x": [1], "b": [2]}),
    ("swap", lambda c: c.set_alias("x", "b"), {"a": [1], "x": [2], "b": [2]}),
    ("rename", lambda c: c.rename("b", "c"), {"a": [1], "x": [2], "c": [2]}),
    ("close idle", lambda c: close_idle(c), {}),
    ("use again", lambda c: store(c, "c", 3), {"a": [1], "x": [2, 3], "c": [2, 3]}),
    ("drop a", lambda c: c.drop("a"), {"x": [2, 3], "c": [2, 3]}),
    ("drop c", lambda c: c.drop("c"), {}),
)


def states() -> list[State]:
    """What may be found after so many steps were acknowledged."""
    after: list[State] = [{}]
    for name, _, state in LIFE:
        after.append(after[-1] if name == "close idle" else state)
    return after


def live(disk: FaultFS) -> int:
    """Live until the disk ends it; how many steps were acknowledged."""
    done = 0
    collections = opened(PATH, disk)
    for _, step, _ in LIFE:
        step(collections)
        done += 1
    shut(collections)
    return done


def observed(collections: Collections) -> State:
    known = collections._catalogue.current
    names = [*known.collections, *known.aliases]
    return {name: found(collections, name) for name in names}


def check(disk: FaultFS, acknowledged: int, what: str) -> None:
    """The next start finds what was acknowledged, perhaps with the step under way, and no stray directory."""
    collections = opened(PATH, disk)
    try:
        allowed = states()[acknowledged : acknowledged + 2]
        assert observed(collections) in allowed, what
        known = {str(entry.number) for entry in collections._catalogue.current.collections.values()}
        above = PATH / filename.COLLECTIONS
        assert not disk.exists(above) or set(disk.names(above)) == known, what
        collections.create("later", SMALL)
        store(collections, "later", 9)
        assert found(collections, "later") == [9], what
    finally:
        shut(collections)


def changes() -> list[int]:
    """The calls of the whole life that change the disk."""
    disk = FaultFS()
    live(disk)
    return [at for at, call in enumerate(disk.calls) if call.name in CHANGES]


def lived(disk: FaultFS) -> int:
    """Steps acknowledged before the first that failed."""
    done = 0
    with contextlib.suppress(PowerCut, KyroError, OSError):
        collections = opened(PATH, disk)
        try:
            for _, step, _ in LIFE:
                step(collections)
                done += 1
        finally:
            # The machine is off; what was to sweep in the background goes with it.
            collections.open.let_go()
    return done


def power_cuts(seed: int, *, each: bool = True) -> int:
    """Cut the power at every call that changes the disk, with each loss, or else with one of them at random; how many
    cuts there were."""
    rng, count = random.Random(seed), 0
    with repeatable("collections", seed=seed, once=""):
        for at in changes():
            losses: list[tuple[str, Loss]] = [
                ("kept", AllKept()),
                ("lost", AllLost()),
                ("some", RandomLoss(rng.getrandbits(32))),
            ]
            for name, loss in losses if each else [rng.choice(losses)]:
                disk = FaultFS()
                disk.faults.append(Fault(at, "cut"))
                acknowledged = lived(disk)
                check(disk.crash(loss), acknowledged, f"cut at call {at}, {name}")
                count += 1
    return count


def disk_errors(seed: int) -> int:
    """An error at every call that changes the disk; the number of errors."""
    count = 0
    with repeatable("collections", seed=seed, once=""):
        for at in changes():
            disk = FaultFS(seed=seed + at)
            disk.faults.append(Fault(at, "error"))
            acknowledged = lived(disk)
            disk.heal()
            disk.kill_process()
            check(disk, acknowledged, f"error at call {at}")
            count += 1
    return count


def cuts_and_errors(seed: int) -> int:
    """Every cut with every loss, and an error at every call."""
    return power_cuts(seed) + disk_errors(seed)
