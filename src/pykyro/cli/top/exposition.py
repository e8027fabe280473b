"""The text of /metrics as numbers: what `kyrodb top` and `kyrodb doctor` read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pykyro.telemetry.exposition import PREFIX

_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class Samples:
    """One scrape. Names are without the prefix kyrodb_."""

    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def get(self, name: str, **labels: str) -> float:
        """The value of one sample, 0 when it is not there."""
        return self.values.get((name, tuple(sorted(labels.items()))), 0.0)

    def has(self, name: str) -> bool:
        return any(known == name for known, _ in self.values)

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """Values of a metric by one of its labels, summed over the others."""
        found: dict[str, float] = {}
        for (known, labels), value in self.values.items():
            if known == name:
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def label(self, name: str, label: str) -> str:
        """A label's value at the only sample of a metric, "" when there is none."""
        return next((dict(labels).get(label, "") for known, labels in self.values if known == name), "")


def parse(text: str) -> Samples:
    """Read the text format; lines that are no samples are passed over."""
    samples = Samples()
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or line.startswith("#"):
            continue
        labels = tuple(sorted(_LABEL.findall(match[2] or "")))
        samples.values[match[1].removeprefix(PREFIX), labels] = float(match[3])
    return samples
