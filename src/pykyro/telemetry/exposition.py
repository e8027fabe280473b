"""Prometheus' text format 0.0.4: a HELP line, a TYPE line, then the samples of a family.

Integers are written plainly and other numbers with six decimals, as scrapers of KyroDB have always seen them.
prometheus_client would rename counters that do not end in _total, which ours are known by.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pykyro.telemetry.counters import BUCKETS_S, Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "kyrodb_"

Labels: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the prefix, and a value for each combination of labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Mapping[Labels, int | float | Histogram]


def counter(name: str, help: str, value: int) -> Family:
    """A counter without labels."""
    return Family(name, "counter", help, {(): value})


def gauge(name: str, help: str, value: int | float) -> Family:
    """A gauge without labels."""
    return Family(name, "gauge", help, {(): value})


def labelled(
    name: str,
    kind: Literal["counter", "gauge"],
    help: str,
    label: str,
    values: Mapping[str, int | float],
) -> Family:
    """A family with one label, by its values."""
    return Family(name, kind, help, {((label, word),): value for word, value in values.items()})


def render(families: Iterable[Family]) -> str:
    """The text of a scrape."""
    lines: list[str] = []
    for family in families:
        name = PREFIX + family.name
        lines += (f"# HELP {name} {_escaped(family.help)}", f"# TYPE {name} {family.kind}")
        for labels, value in family.samples.items():
            if isinstance(value, Histogram):
                lines += _histogram(name, labels, value)
            else:
                lines.append(f"{name}{_braced(labels)} {_number(value)}")
    return "\n".join(lines) + "\n"


def _histogram(name: str, labels: Labels, histogram: Histogram) -> list[str]:
    cumulative = histogram.cumulative()
    bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
    lines = [
        f"{name}_bucket{_braced((*labels, ('le', bound)))} {count}"
        for bound, count in zip(bounds, cumulative, strict=True)
    ]
    lines += (
        f"{name}_sum{_braced(labels)} {_number(histogram.sum_s)}",
        f"{name}_count{_braced(labels)} {cumulative[-1]}",
    )
    return lines


def _braced(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels) + "}"


def _number(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
