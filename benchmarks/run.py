"""Run the benchmarks one after the other: a short form by default, all of them at their full size with --long.

What they need is looked for first. Each is announced with how long it should take and how long the rest will; Ctrl-C
ends the one that runs, which takes its server and its files with it.
"""

from __future__ import annotations

import argparse
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

_INTERRUPTED: Final = 130
_ONLY: Final = "--only"
"""What this program says to itself, in a process for each benchmark."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module here. `short` are its arguments in the short form, None when it is not in it; `short_s` and `long_s`
    are how many seconds it takes on two quiet processors."""

    module: str
    long_s: int
    short: tuple[str, ...] | None = None
    short_s: int = 0
    h2load: bool = False
    """Whether its load comes from there."""
    transports: bool = False
    """Whether it takes --transport."""


PLAN: Final = (
    Benchmark("embedded_search", 90, ("--count", "10000"), 15),
    Benchmark("durable_inserts", 40, ("--count", "4000"), 10),
    Benchmark("filtered_search", 120, ("--count", "10000", "--questions", "100"), 10),
    Benchmark("several_segments", 240),
    Benchmark("listing", 60, ("--count", "10000"), 5),
    Benchmark("typed_values", 90, ("--count", "1000"), 15),
    Benchmark("words", 240, ("--count", "2000"), 20),
    Benchmark("text_ids", 60, ("--count", "2000"), 20),
    Benchmark("geometry", 600, ("--rows", "3000", "--questions", "20"), 40),
    Benchmark("search_during_writes", 150, ("--count", "5000"), 60),
    Benchmark("startup_and_memory", 120),
    Benchmark("memory", 150),
    Benchmark("grpc_search", 90, ("--count", "3000", "--requests", "3000"), 20, h2load=True, transports=True),
    Benchmark("grpc_bulk_insert", 30, ("--count", "4000"), 10, h2load=True, transports=True),
    Benchmark("grpc_bulk_search", 90, ("--count", "3000"), 15, h2load=True, transports=True),
    Benchmark("observability", 150, h2load=True, transports=True),
    Benchmark("auth", 180, h2load=True, transports=True),
    Benchmark("budget", 600, h2load=True, transports=True),
    Benchmark("hostile_clients", 180, transports=True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when all ran to their end, 1 when one failed, 2 for data that is no use, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == [_ONLY]:
        return _only(words[1], words[2:])
    options = _parser().parse_args(words)
    faults = data_faults(options.data)
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 2
    chosen = [benchmark for benchmark in PLAN if options.long or benchmark.short is not None]
    if shutil.which("h2load") is None:
        without = [benchmark.module for benchmark in chosen if benchmark.h2load]
        print(f"h2load is missing (Debian: apt-get install nghttp2-client), left out: {', '.join(without)}")
        chosen = [benchmark for benchmark in chosen if not benchmark.h2load]
    transports = ["h2corn", "grpcio"]
    try:
        return _run_all(chosen, options, transports if options.long else transports[:1])
    except KeyboardInterrupt:
        print("\nstopped")
        return _INTERRUPTED


def data_faults(directory: Path | None) -> list[str]:
    """What keeps the data from being used, by name and with the way out."""
    if directory is None:
        return []
    if not directory.is_dir():
        return [f"--data {directory}: is not a directory; leave it out for made-up data"]
    arrays = {}
    faults = []
    for name, kind in (("docs.npy", "f"), ("queries.npy", "f"), ("gt_ids.npy", "iu")):
        try:
            arrays[name] = np.load(directory / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            faults.append(f"--data {directory}: {name} cannot be read: {error}")
            continue
        if arrays[name].ndim != 2 or arrays[name].dtype.kind not in kind:
            shape, dtype = arrays[name].shape, arrays[name].dtype
            faults.append(
                f"--data {directory}: {name} must have two dimensions of numbers, is {shape} of {dtype}"
            )
    if not faults and arrays["docs.npy"].shape[1] != arrays["queries.npy"].shape[1]:
        faults.append(f"--data {directory}: docs.npy and queries.npy are of different dimensions")
    if not faults and arrays["gt_ids.npy"].shape[1] < 10:
        faults.append(f"--data {directory}: gt_ids.npy must have the ten best of each query")
    return faults


def _run_all(chosen: Sequence[Benchmark], options: argparse.Namespace, transports: list[str]) -> int:
    estimates = [benchmark.long_s if options.long else benchmark.short_s for benchmark in chosen]
    kind = (
        "all at full size"
        if options.long
        else "the short form; --long (make bench LONG=1) runs all at full size"
    )
    print(f"{len(chosen)} benchmarks, {kind}: about {_minutes(sum(estimates))}", flush=True)
    failed = []
    for number, (benchmark, estimate_s) in enumerate(zip(chosen, estimates, strict=True)):
        left = _minutes(sum(estimates[number:]))
        print(
            f"\n## {benchmark.module} ({number + 1} of {len(chosen)}, about {estimate_s} s; {left} left)",
            flush=True,
        )
        command = [sys.executable, "-m", "benchmarks.run", _ONLY, benchmark.module]
        command += [] if options.long else benchmark.short or ()
        command += ["--transport", *transports] if benchmark.transports else []
        command += ["--data", str(options.data)] if options.data is not None else []
        started_s = time.monotonic()
        code = _end_of(subprocess.Popen(command))
        print(f"({time.monotonic() - started_s:.0f} s)", flush=True)
        if code:
            failed.append(benchmark.module)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return int(bool(failed))


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Its exit code. Ctrl-C reaches it by itself, and it is given the time to put away what it made."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def _only(module: str, arguments: list[str]) -> int:
    """One benchmark in this process, which an interrupt ends without a word."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(f"benchmarks.{module}", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--long", action="store_true", help="all benchmarks, at their full size")
    parser.add_argument("--data", type=Path, help="directory with docs.npy, queries.npy, gt_ids.npy")
    return parser


if __name__ == "__main__":
    sys.exit(main())
