"""Starts that are interrupted: by power cuts and disk errors at each of their calls, or after a kill.

Whatever happens to one, the next on a mended disk finds what an undisturbed one finds.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

from tests.crash.checker import check_reads, read_state
from tests.crash.clock import FakeClock
from tests.crash.disk import loss_named
from tests.crash.fault_filesystem import CHANGES, Fault, FaultFS, PowerCut
from tests.crash.oracle import State
from tests.crash.rigs import FAULTS, calls_of, random_loss, repeatable
from tests.crash.session import Session, conditions, open_on
from tests.crash.workload import steps

from pykyro.model.errors import StorageError

_READS = frozenset(("read", "map", "names", "size"))
_DISTURBANCES = {
    "cut": Fault(0, "cut"),
    **FAULTS,
    "eio-of-a-read": Fault(0, "error", calls=_READS | CHANGES),
    "eio-of-reads-lasting": Fault(0, "error", lasting=True, calls=_READS | CHANGES),
}


def interrupted_starts(seed: int, *, steps_count: int = 25) -> int:
    """Run a workload, cut the power, and disturb the start in every way at every call; the number of starts."""
    session, rng = Session(seed), random.Random(seed)
    with repeatable("starts", seed=seed, steps=steps_count, once=""), conditions(seed):
        for step in steps(seed, steps_count):
            session.run(step)
        image = session.disk.crash(loss_named(random_loss(rng, session.disk)))
        undisturbed = image.crash(loss_named("all-kept"))
        expected = _start(session, undisturbed)
        check_reads(open_on(_again(undisturbed), session.options, FakeClock()), expected, seed)
        calls = len(undisturbed.calls)
        for call in range(calls):
            for name, fault in _DISTURBANCES.items():
                try:
                    _disturbed(session, image, expected, replace(fault, at=call), rng)
                except Exception as error:
                    raise AssertionError(f"{name} at call {call} of the start: {error}") from error
    return calls * len(_DISTURBANCES)


def _disturbed(session: Session, image: FaultFS, expected: State, fault: Fault, rng: random.Random) -> None:
    disk = image.crash(loss_named("all-kept"))
    disk.faults = [fault]
    with suppress(PowerCut, StorageError, OSError):
        found = _start(session, disk)
        assert found == expected, "a start that went through a fault found something else"
    disk.heal()
    if fault.kind != "cut":
        disk.kill_process()
        assert _start(session, disk) == expected, "after a start that met a fault"
    loss = random_loss(rng, disk)
    after = _start(session, disk.crash(loss_named(loss)))
    assert after == expected, f"after a power cut behind it, {loss}"


def killed_and_cut(seed: int, *, steps_count: int = 20) -> int:
    """Kill the process before each moment in which names become durable, and cut the power at some call of the start
    that follows: what it saw was the page cache, what is left is the disk. Returns the number of cuts."""
    rng, calls = random.Random(seed), calls_of(seed, steps_count)
    moments = [index for index, call in enumerate(calls) if call.name == "sync_directory"]
    with repeatable("killed", seed=seed, steps=steps_count, once=""), conditions(seed):
        for call in moments * 2:
            session = _killed(seed, steps_count, call)
            session.disk.faults = [Fault(len(session.disk.calls) + rng.randint(0, 30), "cut")]
            try:
                with suppress(PowerCut):
                    session.open()
                session.lose_power(random_loss(rng, session.disk))
                session.open()
                session.check()
            except Exception as error:
                raise AssertionError(f"killed at call {call}: {error}") from error
    return len(moments) * 2


def _killed(seed: int, steps_count: int, call: int) -> Session:
    """A session whose process died in this call; the page cache lives on."""
    session = Session(seed)
    session.disk.faults = [Fault(call, "cut")]
    with suppress(PowerCut):
        for step in steps(seed, steps_count):
            session.run(step)
    session.die()
    return session


def _start(session: Session, disk: FaultFS) -> State:
    return read_state(open_on(disk, session.options, FakeClock()))


def _again(disk: FaultFS) -> FaultFS:
    return disk.crash(loss_named("all-lost"))
