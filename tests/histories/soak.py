"""Histories and state machines with ever new seeds, and the way to repeat one failure.

python -m tests.histories.soak --seconds 600 --seed 0
python -m tests.histories.soak histories --seed 17 --once       one history again
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable

import hypothesis
from hypothesis.stateful import run_state_machine_as_test
from tests.crash.checker import read_state
from tests.crash.fault_filesystem import FaultFS
from tests.histories.test_histories import OPTIONS, play
from tests.histories.test_state_machine import EngineMachine

from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance import builder, segment_builder
from pykyro.engine.maintenance.builder import InlineBuilder

MACHINES = 100
"""State machines of one seed."""


def one_history(seed: int) -> None:
    """Raises AssertionError when it has no order. Threads take turns as they like, so it may need several tries."""
    disk = FaultFS(seed=seed)
    engine = open_engine("/data", OPTIONS, filesystem=disk, builder=InlineBuilder(disk))
    try:
        state = play(engine, seed, calls=120).judge()
        assert read_state(engine) == state
    finally:
        engine.close()


def some_machines(seed: int) -> None:
    """MACHINES examples; hypothesis prints the shortest that fails."""
    settings = hypothesis.settings(
        max_examples=MACHINES,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    machine = hypothesis.seed(seed)(type("Machine", (EngineMachine,), {}))
    run_state_machine_as_test(machine, settings=settings)


KINDS: dict[str, Callable[[int], None]] = {"machines": some_machines, "histories": one_history}


def soak(kind: str, *, seconds: float, seed: int) -> int:
    """Seed after seed until the time is up; how many. A failure names the command that repeats it."""
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end or not done:
        try:
            KINDS[kind](seed + done)
        except BaseException:
            print(f"repeat: python -m tests.histories.soak {kind} --seed {seed + done} --once", flush=True)
            raise
        done += 1
    return done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.histories.soak", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="one seed only")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for module in (segment_builder, builder):
        module.GRAPH_ROWS_MIN = 12  # type: ignore[attr-defined]
    sys.setswitchinterval(1e-5)
    kinds = list(KINDS) if arguments.kind == "all" else [arguments.kind]
    seconds = 0.0 if arguments.once else arguments.seconds / len(kinds)
    done = {kind: soak(kind, seconds=seconds, seed=arguments.seed) for kind in kinds}
    counted = [f"{done['machines'] * MACHINES} state machines"] if "machines" in done else []
    counted += [f"{done['histories']} histories of eight threads"] if "histories" in done else []
    print(f"{' and '.join(counted)} from seed {arguments.seed}: no fault")


if __name__ == "__main__":
    main()
