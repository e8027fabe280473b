"""Two looks at a server, and what happened in between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykyro.cli.top.exposition import Samples


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

    def gained(self, name: str, **labels: str) -> float:
        """What a counter gained. A server that was restarted starts over, so never less than nothing."""
        return max(0.0, self.now.samples.get(name, **labels) - self.before.samples.get(name, **labels))

    def rate(self, name: str, **labels: str) -> float:
        """What a counter gained a second."""
        return self.gained(name, **labels) / self.seconds

    def rates(self, name: str, label: str) -> dict[str, float]:
        """`rate` by the values of a label, summed over the others."""
        before = self.before.samples.labelled(name, label)
        now = self.now.samples.labelled(name, label)
        return {
            value: max(0.0, count - before.get(value, 0.0)) / self.seconds for value, count in now.items()
        }

    def quantile_s(self, name: str, share: float, **labels: str) -> float:
        """Upper bound of the bucket in which that share of a histogram's new samples lies; NaN without any."""
        counts: list[tuple[float, float]] = []
        for sample, known in self.now.samples.values:
            found = dict(known)
            bound = found.pop("le", "")
            if sample == f"{name}_bucket" and found == labels:
                gained = self.gained(f"{name}_bucket", **labels, le=bound)
                counts.append((math.inf if bound == "+Inf" else float(bound), gained))
        counts.sort()
        total = counts[-1][1] if counts else 0.0
        return next((bound for bound, count in counts if total and count >= share * total), math.nan)
