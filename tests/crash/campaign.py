"""Long runs of the rigs, and the way to repeat one failure.

python -m tests.crash.campaign                                  every rig in turn, a minute
python -m tests.crash.campaign points --seconds 600 --seed 1000 --jobs 2
python -m tests.crash.campaign points --count 100000            as many crashes, however long it takes
python -m tests.crash.campaign points --seed 17 --steps 40 --call 123 --loss torn:45      one crash
python -m tests.crash.campaign errors --seed 3 --fault fsync-lasting --call 88            one fault
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from tests.crash import rigs
from tests.crash.collections_rig import cuts_and_errors
from tests.crash.log_rig import log_crash_points
from tests.crash.start_rig import interrupted_starts, killed_and_cut


def _errors(seed: int, steps_count: int = 40) -> int:
    rng = random.Random(seed)
    calls = {fault: rigs.random_call(seed, rng, steps_count=steps_count) for fault in rigs.FAULTS}
    return sum(
        rigs.disk_error(seed, fault=fault, call=call, steps_count=steps_count)
        for fault, call in calls.items()
    )


RIGS: dict[str, Callable[..., int]] = {
    "points": functools.partial(rigs.crash_points, looks=0.1),
    "every-point": rigs.every_crash_point,
    "errors": _errors,
    "every-error": rigs.every_disk_error,
    "log-errors": rigs.every_log_error,
    "starts": interrupted_starts,
    "killed": killed_and_cut,
    "lives": rigs.lives,
    "flips": rigs.bit_flips,
    "log": log_crash_points,
    "collections": cuts_and_errors,
}
"""One unit of work of each rig: a seed in, and if wanted `steps_count`; the number of crashes, faults or flips looked
at out."""


_TELL_S = 60.0
"""How often a campaign says how far it is."""


def one(rig: str, seed: int) -> tuple[str, int, str]:
    """Run one seed; what it looked at, and the report of a failure."""
    try:
        return rig, RIGS[rig](seed), ""
    except rigs.Found as found:
        return rig, 0, str(found)


def campaign(names: list[str], *, seconds: float, seed: int, jobs: int, wanted: int | None = None) -> int:
    """Seeds from `seed` on until the time is up, or until `wanted` crashes, cuts and flips were looked at; prints
    every failure and the totals. Returns the failures."""
    counts: Counter[str] = Counter()
    failures = 0
    told = time.monotonic()
    end = told + seconds

    def goes_on() -> bool:
        return time.monotonic() < end if wanted is None else counts.total() < wanted

    work = ((name, number) for number in itertools.count(seed) for name in names)
    last = seed
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[tuple[str, int, str]]] = set()
        while running or goes_on():
            for rig, number in itertools.islice(work, jobs - len(running) if goes_on() else 0):
                running.add(pool.submit(one, rig, number))
                last = number
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                rig, count, report = future.result()
                counts[rig] += count
                if report:
                    failures += 1
                    print(f"FAILED {report}", flush=True)
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                print(_summary(counts, names, seed, last, failures), flush=True)
    print(_summary(counts, names, seed, last, failures))
    return failures


def _summary(counts: Counter[str], names: list[str], first: int, last: int, failures: int) -> str:
    looked_at = ", ".join(f"{name} {counts[name]}" for name in names)
    return f"seeds {first}..{last}: {looked_at}; {failures} failures"


def repeat(arguments: argparse.Namespace) -> int:
    """One failure again, with its traceback."""
    seed, call = arguments.seed, arguments.call
    steps = {} if arguments.steps is None else {"steps_count": arguments.steps}
    if arguments.rig == "points":
        return rigs.crash_points(seed, call=call, loss=arguments.loss, **steps)
    if arguments.rig == "errors" and call is not None:
        return rigs.disk_error(seed, fault=arguments.fault, call=call, **steps)
    return RIGS[arguments.rig](seed, **steps)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign", description=__doc__)
    parser.add_argument("rig", nargs="?", choices=[*RIGS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, help="go on until so many were looked at, instead of --seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--steps", type=int, help="repeat one: the length of the workload")
    parser.add_argument("--call", type=int, help="repeat one: the index of the call")
    parser.add_argument("--loss", help="repeat one crash: all-lost, torn:7, random:7, ...")
    parser.add_argument("--fault", choices=list(rigs.FAULTS), help="repeat one fault")
    parser.add_argument("--once", action="store_true", help="repeat one seed of any rig")
    arguments = parser.parse_args()
    if arguments.call is not None or arguments.once:
        print(repeat(arguments), "looked at, nothing found")
        return 0
    names = list(RIGS) if arguments.rig == "all" else [arguments.rig]
    failures = campaign(
        names, seconds=arguments.seconds, seed=arguments.seed, jobs=arguments.jobs, wanted=arguments.count
    )
    return 1 if failures else 0


if __name__ == "__main__":
    # Every injected fault would be a line.
    logging.disable()
    sys.exit(main())
