"""The rigs themselves: several lives, bit flips, a workload that meets everything, and failures that repeat."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash import campaign, rigs
from tests.crash.defects import DEFECTS
from tests.crash.log_rig import log_crash_points
from tests.crash.planted import planted
from tests.crash.session import DATA, Session, conditions
from tests.crash.workload import steps


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
