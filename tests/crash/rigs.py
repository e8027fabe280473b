"""The rigs that run in memory. Each takes a seed, drives one Session, and looks at what a crash or a fault leaves.

A rig that fails raises Found, whose first line names what broke and whose last line is the command that repeats it.
"""

from __future__ import annotations

import errno
import functools
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from tests.crash.checker import check_reads, read_state, require_allowed
from tests.crash.clock import FakeClock
from tests.crash.disk import loss_named
from tests.crash.fault_filesystem import CHANGES, Call, Fault, FaultFS, PowerCut, lasting
from tests.crash.oracle import State
from tests.crash.session import DATA, Session, conditions, open_on, options_for
from tests.crash.workload import Step, operation, steps

from pykyro.model.errors import StorageError
from pykyro.storage import filename
from pykyro.storage.snapshot import snapshot_names
from pykyro.storage.verify import verify_directory


class Found(AssertionError):
    """A rig broke a promise."""


@contextmanager
def repeatable(rig: str, **arguments: object) -> Iterator[None]:
    """Any failure inside is reported with the command that brings it back."""
    try:
        yield
    except Found:
        raise
    except Exception as error:
        words = " ".join(f"--{name} {value}".strip() for name, value in arguments.items())
        raise Found(
            f"{type(error).__name__}: {error}\nrepeat: python -m tests.crash.campaign {rig} {words}"
        ) from error


# --- crash points ---------------------------------------------------------------------------------


def crash_points(
    seed: int, *, steps_count: int = 40, looks: float = 1.0, call: int | None = None, loss: str | None = None
) -> int:
    """Run a workload and, before each call that changes the disk, cut the power in one random way. `looks` is the
    share of calls looked at; `call` and `loss` choose one. Returns the number of crashes."""
    session, rng = Session(seed), random.Random(seed)
    count = 0

    def look(index: int, met: Call) -> None:
        nonlocal count
        # The moments when names are about to become durable are the most telling ones.
        chosen = rng.random() < looks * (4 if met.name == "sync_directory" else 1)
        name = random_loss(rng, session.disk)
        if call is None and chosen:
            count += 1
            examine(session, index, name, steps_count)
        elif index == call:
            count += 1
            examine(session, index, loss or name, steps_count)

    session.disk.before_change = look
    with repeatable("points", seed=seed, steps=steps_count, once=""), conditions(seed):
        for step in steps(seed, steps_count):
            session.run(step)
            session.check()
    return count


def every_crash_point(seed: int, *, steps_count: int = 3) -> int:
    """As `crash_points`, with every loss at every call: all lost, all kept, each one lost, torn at each unit."""
    session = Session(seed)
    count = 0

    def look(index: int, met: Call) -> None:
        nonlocal count
        for name in every_loss(session.disk):
            count += 1
            examine(session, index, name, steps_count)

    session.disk.before_change = look
    with repeatable("every-point", seed=seed, steps=steps_count, once=""), conditions(seed):
        for step in steps(seed, steps_count):
            session.run(step)
    return count


def every_loss(disk: FaultFS) -> Iterator[str]:
    yield "all-lost"
    units = disk.pending_units
    if units:
        yield "all-kept"
    for unit in units:
        yield f"one-lost:{unit}"
        yield f"torn:{unit}"
        yield f"torn-short:{unit}"


def random_loss(rng: random.Random, disk: FaultFS) -> str:
    units = disk.pending_units
    if not units:
        return "all-lost"
    kind = rng.choice(("all-lost", "all-kept", "one-lost", "torn", "torn-short", "random", "random"))
    if kind.startswith("all"):
        return kind
    return f"{kind}:{rng.getrandbits(32) if kind == 'random' else rng.choice(units)}"


def examine(session: Session, index: int, loss: str, steps_count: int) -> None:
    """Start the database on what a power cut at call `index` leaves, and again, and every third time with a crash
    inside."""
    where = repeatable("points", seed=session.seed, steps=steps_count, call=index, loss=loss)
    with where, conditions(session.seed, randomness=index):
        image = session.disk.crash(loss_named(loss))
        found = start_and_check(session, image)
        again = image.crash(loss_named("all-lost"))
        assert start_and_read(session, again) == found, "recovering twice is not recovering once"
        if index % 3 == 0:
            _crash_inside_start(session, loss, found, random.Random(index))
        _check_snapshots(session, image)


def start_and_check(session: Session, image: FaultFS) -> State:
    engine = open_on(image, session.options, FakeClock())
    found = require_allowed(engine, session.oracle.allowed())
    session.require_tenants(engine)
    check_reads(engine, found, session.seed)
    return found


def start_and_read(session: Session, image: FaultFS) -> State:
    return read_state(open_on(image, session.options, FakeClock()))


def _crash_inside_start(session: Session, loss: str, found: State, rng: random.Random) -> None:
    """Die at a random call of recovery, by power or by signal; the next start finds the same."""
    image = session.disk.crash(loss_named(loss))
    image.faults = [Fault(rng.randint(0, 40), "cut")]
    with suppress(PowerCut):
        open_on(image, session.options, FakeClock())
    second = image.crash(loss_named(random_loss(rng, image)))
    assert start_and_read(session, second) == found, "dying inside recovery changed its result"


def _check_snapshots(session: Session, image: FaultFS) -> None:
    names = snapshot_names(image, DATA)
    for name in names:
        damage = verify_directory(image, DATA / filename.SNAPSHOTS / name).damage
        assert damage == [], f"snapshot {name}: {damage}"
    missing = set(session.snapshots) - set(names)
    assert not missing, f"acknowledged snapshots are gone: {missing}"


def lives(seed: int, *, generations: int = 8, steps_count: int = 120) -> int:
    """One database through many deaths: power cuts, kills and disk errors at random calls, each start going on with
    what the last one left. Returns the number of deaths."""
    session, rng = Session(seed), random.Random(seed)
    cuts = 0

    def arm() -> None:
        now = len(session.disk.calls)
        at = now + rng.randint(0, rng.choice((40, 400)))
        # Every other death comes just before names become durable, when most is in doubt.
        at_sync = Fault(at, "cut", lasting=True, calls=frozenset({"sync_directory"}))
        session.disk.faults = [rng.choice((at_sync, Fault(at, "cut")))]
        if rng.random() < 0.3:
            fault = FAULTS[rng.choice(list(FAULTS))]
            session.disk.faults.append(replace(fault, at=now + rng.randint(0, 200)))

    arm()
    with repeatable("lives", seed=seed, steps=steps_count, once=""), conditions(seed):
        for step in steps(seed, steps_count):
            try:
                session.run(step)
                session.check()
            except PowerCut:
                cuts += 1
                if rng.random() < 0.4:
                    session.die()
                else:
                    session.lose_power(random_loss(rng, session.disk))
                _check_snapshots(session, session.disk)
                if cuts < generations:
                    arm()
        session.disk.heal()
        session.run(Step("commit"))
        session.check()
    return cuts


# --- disk errors ----------------------------------------------------------------------------------


FAULTS = {
    "eio": Fault(0, "error"),
    "enospc": Fault(0, "error", errno.ENOSPC),
    "late": Fault(0, "late-error"),
    "short": Fault(0, "short"),
    "short-lasting": Fault(0, "short", lasting=True),
    "eio-lasting": lasting(Fault(0, "error")),
    "enospc-lasting": lasting(Fault(0, "error", errno.ENOSPC)),
    "fsync-lasting": Fault(0, "error", lasting=True, calls=frozenset({"sync", "sync_directory"})),
}


def disk_error(seed: int, *, fault: str, call: int, steps_count: int = 40) -> int:
    """Run a workload with one fault from the `call`-th call on, crash now and then, mend the disk near the end, and
    require that writes are accepted again. Returns the number of crashes looked at."""
    session, rng = Session(seed), random.Random(seed * 1_000_003 + call)
    disk = session.disk
    disk.faults = [replace(FAULTS[fault], at=call)]
    crashes = 0
    with repeatable("errors", seed=seed, fault=fault, call=call, steps=steps_count), conditions(seed):
        for number, step in enumerate(steps(seed, steps_count)):
            if number == steps_count * 3 // 4:
                disk.heal()
            struck = disk.struck
            session.run(step)
            session.check()
            if disk.struck > struck:
                crashes += 1
                start_and_check(session, disk.crash(loss_named("all-lost")))
            if disk.struck > struck or rng.random() < 0.1:
                crashes += 1
                start_and_check(session, disk.crash(loss_named(random_loss(rng, disk))))
        _require_recovery(session, rng)
        start_and_check(session, disk.crash(loss_named("all-lost")))
        session.close()
        start_and_check(session, disk.crash(loss_named("all-lost")))
    return crashes + 2


def every_disk_error(seed: int, *, steps_count: int = 4) -> int:
    """Every fault at every call of a short life. Returns the number of faults."""
    calls = changing_calls(seed, steps_count=steps_count)
    for call in calls:
        for fault in FAULTS:
            disk_error(seed, fault=fault, call=call, steps_count=steps_count)
    return len(calls) * len(FAULTS)


def every_log_error(seed: int, *, steps_count: int = 30) -> int:
    """A longer life with an error at each write and fsync of the log, of an engine that syncs at intervals when the
    seed is odd, so that the log fails with frames that were acknowledged and not synced. Returns the faults."""
    seed = next(number for number in itertools.count(10 * seed) if _at_intervals(number) == (seed % 2 == 1))
    calls = calls_of_log(seed, steps_count)
    for call in calls:
        disk_error(seed, fault="eio", call=call, steps_count=steps_count)
    return len(calls)


def _at_intervals(seed: int) -> bool:
    return not options_for(seed).log.syncs_before_ack


def _require_recovery(session: Session, rng: random.Random) -> None:
    """A mended disk and a minute later, every write is accepted again, with no restart."""
    session.clock.advance(61)
    refused = session.refused
    session.run(Step("commit", tuple(operation(rng, 10_000 + n) for n in range(4))))
    session.run(Step("flush"))
    session.check()
    assert session.refused == refused, "the disk is mended and writes are still refused"


def changing_calls(seed: int, *, steps_count: int = 40) -> list[int]:
    """Indices of the calls of this workload that change the disk, when nothing fails."""
    return [index for index, call in enumerate(calls_of(seed, steps_count)) if call.name in CHANGES]


def random_call(seed: int, rng: random.Random, *, steps_count: int = 40) -> int:
    """The index of one of them, every other time of a write or an fsync of the log."""
    if rng.random() < 0.5:
        return rng.choice(calls_of_log(seed, steps_count))
    return rng.choice(changing_calls(seed, steps_count=steps_count))


def calls_of_log(seed: int, steps_count: int) -> list[int]:
    """Indices of the writes and fsyncs of log segments."""
    calls = enumerate(calls_of(seed, steps_count))
    return [i for i, call in calls if call.name in ("write", "sync") and call.path.suffix == ".wal"]


@functools.lru_cache(maxsize=64)
def calls_of(seed: int, steps_count: int) -> tuple[Call, ...]:
    """The calls of this workload when nothing fails."""
    session = Session(seed)
    with conditions(seed):
        for step in steps(seed, steps_count):
            session.run(step)
    return tuple(session.disk.calls)


# --- bit rot --------------------------------------------------------------------------------------


def bit_flips(seed: int, *, flips: int = 50, steps_count: int = 25) -> int:
    """Turn single bits of the files a workload leaves. Each is refused by name, or changes no answer."""
    session, rng = Session(seed), random.Random(seed)
    with repeatable("flips", seed=seed, steps=steps_count, once=""), conditions(seed):
        for step in steps(seed, steps_count):
            session.run(step)
        session.run(Step("commit", (operation(rng, 10_000),)))
        disk = session.disk
        last = session.open()._context.manifests.current.wal[-1].name
        names = [
            n
            for n in disk.names(DATA)
            if n not in (filename.LOCK, filename.SNAPSHOTS) and disk.size(DATA / n)
        ]
        for _ in range(flips):
            image = disk.crash(loss_named("all-kept"))
            # The end of the log is where damage is most easily taken for what a crash leaves.
            at_end = rng.random() < 0.4
            path = DATA / (last if at_end else rng.choice(names))
            bits = 8 * image.size(path)
            image.flip(path, bit := rng.randrange(max(0, bits - 8 * 96) if at_end else 0, bits))
            refusal = ""
            try:
                start_and_check(session, image)
            except StorageError as error:
                refusal = str(error)
            assert not refusal or path.name in refusal, f"{path.name} bit {bit}: {refusal}"
    return flips
