"""Run the fuzz targets from the kept corpus.

    python -m fuzz.run                                  every target in turn, a minute in all
    python -m fuzz.run wal --seconds 600 --seed 5       one, with the plain mutator
    python -m fuzz.run wal --guided --seconds 600       one, guided by coverage, where atheris is installed
    python -m fuzz.run --count 10000000                 as many inputs, however long they take
    python -m fuzz.run wal --input FILE                 one input again

An input fails that lets any other error out than the decoder promises, takes more than a second of the processor, or
needs more than 256 MiB. It is kept in fuzz/found/ and the command that repeats it is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from fuzz.mutate import mutated
from fuzz.targets import TARGETS

HERE = Path(__file__).parent
SECONDS_MAX = 1.0
SECONDS_GIVEN_UP = 5.0
"""Longer than SECONDS_MAX, so that what is merely slow can say how slow; an endless loop ends here."""
MEMORY_MAX = 256 << 20


def corpus_of(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((HERE / "corpus" / target).iterdir())]


def run_one(target: str, data: bytes) -> None:
    """Raises what escaped, or TimeoutError."""
    started = time.process_time()
    TARGETS[target](data)
    taken = time.process_time() - started
    if taken > SECONDS_MAX:
        raise TimeoutError(f"took {taken:.2f} s of the processor")


def fuzz(target: str, *, seconds: float, seed: int, wanted: int | None = None) -> tuple[int, int]:
    """Mutated inputs until the time is up or there were `wanted`; how many there were, and how many failed."""
    run, rng, corpus = TARGETS[target], random.Random(seed), corpus_of(target)
    _set_limits()
    count, found = 0, 0
    end = time.perf_counter() + seconds
    for data in corpus:
        found += _failed(target, run, data)
    while time.perf_counter() < end if wanted is None else count < wanted:
        for _ in range(50):
            count += 1
            found += _failed(target, run, mutated(rng, corpus))
    return count, found


def _failed(target: str, run: Callable[[bytes], None], data: bytes) -> bool:
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS_GIVEN_UP)
    try:
        run(data)
        if (taken := time.process_time() - started) <= SECONDS_MAX:
            return False
        problem = f"took {taken:.2f} s of the processor"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    print(
        f"FAILED {target}: {problem}\nrepeat: python -m fuzz.run {target} --input {_keep(target, data)}",
        flush=True,
    )
    return True


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"no answer in {SECONDS_GIVEN_UP:.0f} s")


def _keep(target: str, data: bytes) -> Path:
    directory = HERE / "found"
    directory.mkdir(exist_ok=True)
    path = directory / f"{target}-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return path


def _set_limits() -> None:
    """The data segment may grow by MEMORY_MAX from here; beyond it, allocation fails. Endless loops are given up."""
    signal.signal(signal.SIGPROF, _give_up)
    status = Path("/proc/self/status").read_text().split("VmData:")[1]
    used = int(status.split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_MAX, resource.RLIM_INFINITY))


def guided(target: str, *, seconds: float, seed: int) -> tuple[int, int]:
    """atheris in a process of its own, which keeps every input that reaches something new. Those are then run within
    the limits, which it does not know; how many there were, and how many failed."""
    grown = HERE / "grown" / target
    grown.mkdir(parents=True, exist_ok=True)
    found = HERE / "found"
    found.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "fuzz.guided", target, str(grown), str(HERE / "corpus" / target)),
        f"-max_total_time={seconds:.0f}",
        f"-seed={seed + 1}",
        f"-artifact_prefix={found}/{target}-",
        "-timeout=20",
        "-rss_limit_mb=1024",
        "-max_len=2000",
    ]
    failed = subprocess.run(command, check=False, cwd=HERE.parent).returncode != 0  # noqa: S603
    _set_limits()
    inputs = [path.read_bytes() for path in sorted(grown.iterdir())]
    return len(inputs), failed + sum(_failed(target, TARGETS[target], data) for data in inputs)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=__doc__)
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60, help="in all, shared by the targets")
    parser.add_argument("--count", type=int, help="inputs in all, instead of --seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--input", type=Path)
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    if options.input is not None:
        run_one(options.target, options.input.read_bytes())
        print("nothing escaped")
        return 0
    targets = list(TARGETS) if options.target == "all" else [options.target]
    failures = 0
    for target in targets:
        share = options.seconds / len(targets)
        if options.guided:
            count, found = guided(target, seconds=share, seed=options.seed)
            failures += found
            print(f"{target}: {count} inputs kept of those guided by coverage, {found} failed", flush=True)
            continue
        wanted = options.count and -(-options.count // len(targets))
        count, found = fuzz(target, seconds=share, seed=options.seed, wanted=wanted)
        failures += found
        print(f"{target}: {count} inputs, {found} failed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
