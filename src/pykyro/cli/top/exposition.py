"""The text of /metrics as numbers: what `kyrodb top` and `kyrodb doctor` read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pykyro.telemetry.catalogue.declaration import Metric

_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class Samples:
    """One scrape. A histogram is read as how many durations it holds."""

    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def get(self, metric: Metric, **labels: str) -> float:
        """The value of one sample, 0 when it is not there."""
        return self.values.get((_sample_name(metric), tuple(sorted(labels.items()))), 0.0)

    def has(self, metric: Metric) -> bool:
        return any(known == _sample_name(metric) for known, _ in self.values)

    def bucket(self, metric: Metric, bound: str, **labels: str) -> float:
        """How many durations of a histogram are at most `bound` seconds, 0 when it is not there."""
        return self.values.get((f"{metric.name}_bucket", tuple(sorted({**labels, "le": bound}.items()))), 0.0)

    def bounds(self, metric: Metric, **labels: str) -> list[str]:
        """The bounds of a histogram's buckets, ascending, "+Inf" last; none when it is not there."""
        wanted = {*labels.items()}
        return [
            dict(known)["le"]
            for name, known in self.values
            if name == f"{metric.name}_bucket" and {pair for pair in known if pair[0] != "le"} == wanted
        ]

    def labelled(self, metric: Metric, label: str) -> dict[str, float]:
        """Values of a metric by one of its labels, summed over the others."""
        found: dict[str, float] = {}
        for (known, labels), value in self.values.items():
            if known == _sample_name(metric):
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def label(self, metric: Metric, label: str) -> str:
        """A label's value at the only sample of a metric, "" when there is none."""
        return next(
            (dict(labels).get(label, "") for known, labels in self.values if known == metric.name), ""
        )


def _sample_name(metric: Metric) -> str:
    return f"{metric.name}_count" if metric.kind == "histogram" else metric.name


def parse(text: str) -> Samples:
    """Read the text format; lines that are no samples are passed over."""
    samples = Samples()
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or line.startswith("#"):
            continue
        labels = tuple(sorted(_LABEL.findall(match[2] or "")))
        samples.values[match[1], labels] = float(match[3])
    return samples
