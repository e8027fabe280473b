"""Hit ratios of the document policies at equal memory, and what a lookup costs each.

Every hit is of the right document: a cache keyed by ids cannot give another.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.cache import traces
from benchmarks.cache.svg import write_bars
from kyrodb.cache.admission_control import AdmissionControl
from kyrodb.cache.policies.learned import Learned
from kyrodb.cache.policies.lru import Lru
from kyrodb.cache.policies.policy import Policy
from kyrodb.cache.policies.s3fifo import S3Fifo
from kyrodb.cache.policies.sieve import Sieve
from kyrodb.cache.policies.tinylfu import WTinyLfu
from kyrodb.cache.predictor import Predictor, Training

CAPACITY = 189
"""As in the reference's harness: 180 documents and 5 %."""
QPS = 200.0
WRITES = 0.05
"""Share of lookups that are followed by a write of the document, which throws it out."""


def learned(capacity: int, *, adapts: bool, clock: list[float]) -> Learned:
    """As the server builds it from its defaults; `adapts` False is the ablation of the controller."""
    control = AdmissionControl(target_fill=0.9, interval_s=15.0, bias_max=0.18, now_s=0.0) if adapts else None
    predictor = Predictor(Training(4 * capacity, capacity, 1800.0, 0.15), 0.0)
    return Learned(capacity, predictor, control, target_fill=0.9, now_s=lambda: clock[0])


def policies(clock: list[float]) -> dict[str, Callable[[int], Policy]]:
    return {
        "LRU": Lru,
        "SIEVE": Sieve,
        "S3-FIFO": S3Fifo,
        "W-TinyLFU": WTinyLfu,
        "learned": lambda capacity: learned(capacity, adapts=True, clock=clock),
        "learned, fixed threshold": lambda capacity: learned(capacity, adapts=False, clock=clock),
    }


def replay(
    policy: Policy, lookups: traces.Lookups, clock: list[float], *, writes: float
) -> tuple[float, float]:
    """Share of hits after the first quarter, and microseconds of a lookup."""
    written = np.random.default_rng(9).random(len(lookups)) < writes
    hits, warm, started = 0, len(lookups) // 4, time.perf_counter()
    for at, (doc_id, is_written) in enumerate(zip(lookups.tolist(), written.tolist(), strict=True)):
        clock[0] = at / QPS
        hit = policy.touch(doc_id)
        if not hit:
            policy.offer(doc_id)
        if is_written:
            policy.forget(doc_id)
        if at >= warm:
            hits += hit
        if isinstance(policy, Learned) and at % 120_000 == 119_999:
            policy.predictor.prune(clock[0])  # a training every 600 s
    return hits / (len(lookups) - warm), (time.perf_counter() - started) / len(lookups) * 1e6


def best_fixed(lookups: traces.Lookups) -> float:
    """What the best choice of documents that never changes would reach, knowing the future."""
    return float(np.sort(np.bincount(lookups))[-CAPACITY:].sum() / len(lookups))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lookups", type=int, default=150_000)
    parser.add_argument("--svg", type=Path, help="file for a chart")
    options = parser.parse_args()
    groups: dict[str, dict[str, float]] = {}
    for trace, make in traces.LOOKUPS.items():
        lookups = make(options.lookups)
        for writes in (0.0, WRITES):
            group = f"{trace}{', with writes' if writes else ''}"
            print(f"\n{group}; the best fixed {CAPACITY} documents: {100 * best_fixed(lookups):.1f} %")
            print("| policy | hits | µs a lookup |\n|---|---|---|")
            groups[group] = {}
            clock = [0.0]
            for name, policy in policies(clock).items():
                ratio, cost_us = replay(policy(CAPACITY), lookups, clock, writes=writes)
                groups[group][name] = ratio
                print(f"| {name} | {100 * ratio:.1f} % | {cost_us:.1f} |", flush=True)
    if options.svg:
        write_bars(options.svg, f"Hit ratio with {CAPACITY} documents", groups)


if __name__ == "__main__":
    main()
