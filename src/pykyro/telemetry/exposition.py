"""Prometheus' text format 0.0.4: a HELP line, a TYPE line, then the samples of a metric.

Integers are written plainly and other numbers with six decimals, as scrapers of KyroDB have always seen them.
prometheus_client would rename counters that do not end in _total, which ours are known by.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pykyro.telemetry.catalogue.declaration import Family
from pykyro.telemetry.counters import BUCKETS_S, Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render(families: Iterable[Family]) -> str:
    """The text of a scrape. Raises ValueError when a sample does not have the labels that are declared."""
    lines: list[str] = []
    for family in families:
        metric = family.metric
        lines += (f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} {metric.kind}")
        for label_values, value in family.samples.items():
            labels = [*zip(metric.labels, label_values, strict=True)]
            if isinstance(value, Histogram):
                lines += _histogram(metric.name, labels, value)
            else:
                lines.append(f"{metric.name}{_braced(labels)} {_number(value)}")
    return "\n".join(lines) + "\n"


def _histogram(name: str, labels: list[tuple[str, str]], histogram: Histogram) -> list[str]:
    cumulative = histogram.cumulative()
    bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
    lines = [
        f"{name}_bucket{_braced([*labels, ('le', bound)])} {count}"
        for bound, count in zip(bounds, cumulative, strict=True)
    ]
    lines += (
        f"{name}_sum{_braced(labels)} {_number(histogram.sum_s)}",
        f"{name}_count{_braced(labels)} {cumulative[-1]}",
    )
    return lines


def _braced(labels: list[tuple[str, str]]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels) + "}"


def _number(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
