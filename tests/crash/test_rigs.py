"""The short form of the campaigns: a thousand random crash points, faults at many calls, several lives, bit flips."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.crash import campaign, rigs
from tests.crash.defects import DEFECTS
from tests.crash.log_rig import log_crash_points
from tests.crash.planted import planted
from tests.crash.session import DATA, Session, conditions
from tests.crash.start_rig import interrupted_starts, killed_and_cut
from tests.crash.workload import steps

SEEDS, POINTS = 8, 1000


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_crash_points(seed: int) -> None:
    calls = len(rigs.changing_calls(seed, steps_count=60))
    count = rigs.crash_points(seed, steps_count=60, looks=POINTS / SEEDS / calls)
    assert count >= POINTS / SEEDS


def test_every_loss_at_every_call_of_a_short_life() -> None:
    assert rigs.every_crash_point(1, steps_count=4) > 50


@pytest.mark.parametrize("seed", range(4))
def test_every_loss_at_every_call_of_the_log(seed: int) -> None:
    assert log_crash_points(seed, steps_count=8) > 50


@pytest.mark.parametrize("fault", list(rigs.FAULTS))
def test_one_fault_at_random_calls(fault: str) -> None:
    for seed in range(6):
        call = rigs.random_call(seed, random.Random(f"{fault}{seed}"), steps_count=30)
        assert rigs.disk_error(seed, fault=fault, call=call, steps_count=30) >= 2


def test_every_fault_at_every_call_of_a_short_life() -> None:
    assert rigs.every_disk_error(1, steps_count=3) > 100


@pytest.mark.parametrize("seed", [0, 1])
def test_an_error_at_every_call_of_the_log(seed: int) -> None:
    assert rigs.every_log_error(seed, steps_count=12) > 10


@pytest.mark.parametrize("seed", [1, 3])
def test_power_cut_in_the_start_after_a_kill(seed: int) -> None:
    assert killed_and_cut(seed) > 30


@pytest.mark.parametrize("seed", [0, 3])
def test_start_that_is_disturbed_at_every_call(seed: int) -> None:
    assert interrupted_starts(seed, steps_count=12) > 100


@pytest.mark.parametrize("seed", range(4))
def test_several_lives(seed: int) -> None:
    assert rigs.lives(seed, steps_count=80) > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_bit_flips_in_a_directory(seed: int) -> None:
    assert rigs.bit_flips(seed) == 50


def test_workload_meets_everything_it_is_there_for() -> None:
    """Otherwise the rigs would pass because nothing happened."""
    graphs = acknowledged = 0
    lives: list[dict[str, int]] = []
    for seed in range(6):
        lives.append({})
        session = Session(seed)
        with conditions(seed):
            for step in steps(seed, 60):
                session.run(step)
                if session.engine is not None:
                    stats = session.engine.stats()
                    lives[-1].update(sealed=stats.hot_flushes, merged=stats.merges)
                else:
                    lives.append({})
                graphs += any(name.endswith(".graph") for name in session.disk.names(DATA))
        acknowledged += session.acknowledged
        names = {call.name for call in session.disk.calls}
        assert {"create", "write", "sync", "replace", "remove", "sync_directory"} <= names
    assert sum(life.get("sealed", 0) for life in lives) > 20
    assert sum(life.get("merged", 0) for life in lives) > 6
    assert graphs > 10
    assert acknowledged > 300


@pytest.mark.parametrize(
    "run",
    [
        lambda: rigs.crash_points(3, steps_count=12),
        lambda: rigs.every_crash_point(4, steps_count=3),
        lambda: log_crash_points(0, steps_count=6),
        lambda: rigs.lives(0, steps_count=80),
    ],
    ids=["points", "every-point", "log", "lives"],
)
def test_the_line_a_failure_prints_repeats_it(
    run: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with planted(next(defect for defect in DEFECTS if defect.name == "acknowledge without any fsync")):
        with pytest.raises(rigs.Found) as found:
            run()
        command = str(found.value).splitlines()[-1].removeprefix("repeat: python -m tests.crash.campaign ")
        monkeypatch.setattr("sys.argv", ["campaign", *command.split()])
        with pytest.raises(rigs.Found) as again:
            campaign.main()
    assert str(again.value) == str(found.value)


def test_the_same_seed_makes_the_same_run() -> None:
    def run() -> tuple[list[str], list[bytes]]:
        session = Session(7)
        with conditions(7):
            for step in steps(7, 30):
                session.run(step)
        calls, disk = [str(call) for call in session.disk.calls], session.disk
        files = [DATA / name for name in disk.names(DATA) if name not in ("LOCK", "snapshots")]
        return calls, [disk.read(path) for path in files]

    assert run() == run()
