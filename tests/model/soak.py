"""Histories and state machines with ever new seeds: python -m tests.model.soak --seconds 600 --seed 0"""

from __future__ import annotations

import argparse
import logging
import sys
import time

import hypothesis
from hypothesis.stateful import run_state_machine_as_test
from tests.crash.checker import read_state
from tests.crash.fault_filesystem import FaultFS
from tests.model.test_histories import OPTIONS, play
from tests.model.test_state_machine import EngineMachine

from kyrodb.engine import builder, segment_builder
from kyrodb.engine.builder import InlineBuilder
from kyrodb.engine.engine import open_engine


def histories(seconds: float, seed: int) -> int:
    """How many were played; raises AssertionError at the first that has no order, naming its seed."""
    for module in (segment_builder, builder):
        module.GRAPH_ROWS_MIN = 12  # type: ignore[attr-defined]
    sys.setswitchinterval(1e-5)
    end, played = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        disk = FaultFS(seed=seed + played)
        engine = open_engine("/data", OPTIONS, filesystem=disk, builder=InlineBuilder(disk))
        try:
            state = play(engine, seed + played, calls=120).judge()
            assert read_state(engine) == state
        except AssertionError as error:
            raise AssertionError(f"history of seed {seed + played}: {error}") from error
        finally:
            engine.close()
        played += 1
    return played


def state_machines(seconds: float, seed: int) -> int:
    """How many examples were run; hypothesis prints the shortest that fails."""
    end, batches, size = time.monotonic() + seconds, 0, 200
    settings = hypothesis.settings(
        max_examples=size,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    while time.monotonic() < end:
        machine = hypothesis.seed(seed + batches)(type("Machine", (EngineMachine,), {}))
        run_state_machine_as_test(machine, settings=settings)
        batches += 1
    return batches * size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.model.soak")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    machines = state_machines(arguments.seconds / 2, arguments.seed)
    played = histories(arguments.seconds / 2, arguments.seed)
    print(
        f"{machines} state machines and {played} histories of eight threads from seed {arguments.seed}: no fault"
    )


if __name__ == "__main__":
    main()
