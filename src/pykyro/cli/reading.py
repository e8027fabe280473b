"""Two looks at a server, and what happened in between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykyro.cli.top.exposition import Samples
from pykyro.telemetry.catalogue.declaration import Metric


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server said at one moment: /metrics, /health and /slo."""

    url: str
    at_s: float
    samples: Samples
    health: Mapping[str, Any]
    slo: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """From `before` to `now`."""

    before: Reading
    now: Reading

    @property
    def seconds(self) -> float:
        return max(self.now.at_s - self.before.at_s, 1e-9)

    def rate(self, counter: Metric, **labels: str) -> float:
        """What a counter gained a second."""
        before, now = self.before.samples.get(counter, **labels), self.now.samples.get(counter, **labels)
        return _gained(before, now) / self.seconds

    def rates(self, counter: Metric, label: str) -> dict[str, float]:
        """`rate` by the values of a label, summed over the others; of a histogram, how often it observed."""
        before = self.before.samples.labelled(counter, label)
        now = self.now.samples.labelled(counter, label)
        return {value: _gained(before.get(value, 0.0), count) / self.seconds for value, count in now.items()}

    def quantile_s(self, histogram: Metric, share: float, **labels: str) -> float:
        """Upper bound of the bucket in which that share of a histogram's new samples lies; NaN without any."""
        before, now = self.before.samples, self.now.samples
        counts = sorted(
            (
                float(bound),
                _gained(before.bucket(histogram, bound, **labels), now.bucket(histogram, bound, **labels)),
            )
            for bound in now.bounds(histogram, **labels)
        )
        total = counts[-1][1] if counts else 0.0
        return next((bound for bound, count in counts if total and count >= share * total), math.nan)


def _gained(before: float, now: float) -> float:
    """What a counter gained. A server that was restarted starts over, so never less than nothing."""
    return max(0.0, now - before)
