"""What the hot tier says it takes is what it takes, on three kinds of data."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import Metric

PLAIN = {"source": "a", "language": "en", "year": "1999"}


def metadata_of(kind: str, row: int) -> dict[str, str]:
    match kind:
        case "plain":
            return {**PLAIN, "id": f"document number {row}"}
        case "keys":
            return {f"k{row}-{number}": str(number) for number in range(200)}
        case _:
            return {"text": f"{row} " + "lorem ipsum " * 1000}


@pytest.mark.parametrize(
    ("kind", "rows", "dimension"), [("plain", 4000, 384), ("keys", 300, 8), ("text", 900, 64)]
)
def test_the_size_is_right_within_15_percent(kind: str, rows: int, dimension: int) -> None:
    rng = np.random.default_rng(1)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tier = HotTier(dimension, Metric.EUCLIDEAN)
        for row in range(rows):
            metadata = metadata_of(kind, row)
            tier.put(
                10_000 + row, rng.random(dimension, dtype=np.float32), metadata, encode_metadata(metadata)
            )
        del metadata
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert tier.size_bytes == pytest.approx(taken, rel=0.15)
