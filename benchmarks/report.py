"""How a benchmark says what it found."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is measured / floor; `reach` says which ratio is wanted."""

    figure: str
    measured: str
    floor: str
    ratio: float
    reach: str

    def __str__(self) -> str:
        return f"| {self.figure} | {self.measured} | {self.floor} | {self.ratio:.2f} | {self.reach} |"


HEADER = "| figure | measured | floor | ratio | wanted |\n|---|---|---|---|---|"


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(HEADER)
    for row in rows:
        print(row, flush=True)


def arguments(description: str, *, count: int = 100_000, questions: int = 0) -> argparse.Namespace:
    """The options every benchmark takes: --data and --count; with `questions` also --questions."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="directory with docs.npy, queries.npy, gt_ids.npy")
    parser.add_argument("--count", type=int, default=count, help="documents to store")
    if questions:
        parser.add_argument("--questions", type=int, default=questions, help="questions to ask in each case")
    return parser.parse_args()


def median_us(seconds: Sequence[float]) -> float:
    return float(np.median(seconds)) * 1e6


def p99_us(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 99)) * 1e6
