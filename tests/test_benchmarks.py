"""What runs the benchmarks: looks first, says how long, ends without a word when interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks.run import PLAN, data_faults, main
from tests.patience import PATIENCE_S, wait_until

ROOT = Path(__file__).resolve().parents[1]


def test_every_benchmark_of_the_plan_is_a_module_and_the_short_form_is_short() -> None:
    for benchmark in PLAN:
        assert (ROOT / "benchmarks" / f"{benchmark.module}.py").exists()
        assert (benchmark.short is None) == (benchmark.short_s == 0)
    assert 0 < sum(benchmark.short_s for benchmark in PLAN) < 300


def write_data(directory: Path, **arrays: npt.NDArray[Any]) -> Path:
    rows = np.zeros((20, 4), dtype=np.float32)
    given: dict[str, npt.NDArray[Any]] = {"docs": rows, "queries": rows}
    given |= {"gt_ids": np.zeros((20, 10), dtype=np.int64), **arrays}
    for name, array in given.items():
        np.save(directory / f"{name}.npy", array)
    return directory


def test_data_that_can_be_used(tmp_path: Path) -> None:
    assert data_faults(None) == []
    assert data_faults(write_data(tmp_path)) == []


def test_data_that_cannot_be_used_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path / "gone")]) == 2
    assert f"--data {tmp_path}/gone: is not a directory" in capsys.readouterr().err
    assert [fault.split(": ")[1].split()[0] for fault in data_faults(tmp_path)] == [
        "docs.npy",
        "queries.npy",
        "gt_ids.npy",
    ]
    write_data(tmp_path, docs=np.zeros(3, dtype=np.float32))
    assert "docs.npy must have two dimensions of numbers" in data_faults(tmp_path)[0]
    write_data(tmp_path, queries=np.zeros((20, 5), dtype=np.float32))
    assert "of different dimensions" in data_faults(tmp_path)[0]
    write_data(tmp_path, gt_ids=np.zeros((20, 3), dtype=np.int64))
    assert "ten best of each query" in data_faults(tmp_path)[0]


def test_an_interrupt_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = [process.stdout.readline() for _ in range(4)]
        assert "benchmarks, the short form" in "".join(said)
        # It has begun once its directory is there.
        wait_until(lambda: any(tmp_path.iterdir()), "the benchmark makes its directory")
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert not any(tmp_path.iterdir())
