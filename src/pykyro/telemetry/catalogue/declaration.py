"""What the declaration of a metric says.

A help text is read alone, in a dashboard or a scrape. So it does not refer to another help text, except by the full
name of another metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pykyro.telemetry.counters import Histogram

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Value: TypeAlias = int | float | Histogram

FLAG: Final = "0 or 1"
"""Unit of a metric that says whether something is so."""
SHARE: Final = "share"
"""Unit of a metric between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric, whatever its value is."""

    name: str
    """As scrapers see it, with the prefix kyrodb_."""
    kind: Kind
    unit: str
    """Unit of the values: "seconds", "bytes", FLAG, SHARE, or what is counted."""
    help: str
    labels: tuple[str, ...] = ()

    def of(self, value: Value) -> Family:
        """This metric and its value now, if it has no labels."""
        return Family(self, {(): value})

    def by_label(self, values: Mapping[str, Value]) -> Family:
        """This metric and its values now, by the value of its only label."""
        return self.by_labels(((label_value,), value) for label_value, value in values.items())

    def by_labels(self, values: Iterable[tuple[tuple[str, ...], Value]]) -> Family:
        """This metric and its values now; each comes with the values of all labels, in the declared order."""
        return Family(self, dict(values))


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its values at one moment, by the values of its labels in the declared order."""

    metric: Instrument
    samples: Mapping[tuple[str, ...], Value]


class MetricGroup:
    """The metrics under one heading of docs/metrics.md, in the order in which they are declared."""

    def __init__(self, heading: str) -> None:
        self.heading = heading
        self.metrics: list[Instrument] = []

    def counter(self, name: str, unit: str, help: str, *labels: str) -> Instrument:
        """Declare a number that only grows while the server runs."""
        return self._declare(name, "counter", unit, help, labels)

    def gauge(self, name: str, unit: str, help: str, *labels: str) -> Instrument:
        """Declare a number that goes up and down."""
        return self._declare(name, "gauge", unit, help, labels)

    def histogram(self, name: str, unit: str, help: str, *labels: str) -> Instrument:
        """Declare durations, counted by their length."""
        return self._declare(name, "histogram", unit, help, labels)

    def _declare(self, name: str, kind: Kind, unit: str, help: str, labels: tuple[str, ...]) -> Instrument:
        metric = Instrument(name, kind, unit, help, labels)
        self.metrics.append(metric)
        return metric
