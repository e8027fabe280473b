"""The catalogue and docs/metrics.md say the same, and every help text can be read alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pykyro.telemetry.catalogue import METRICS, SECTIONS
from pykyro.telemetry.catalogue.declaration import FLAG, SHARE, Instrument
from pykyro.telemetry.document import PAGE, metrics_page

ROOT = Path(__file__).resolve().parents[2]
NAMES = [metric.name for metric in METRICS]


def test_every_name_is_declared_once() -> None:
    assert len(NAMES) == len(set(NAMES)) > 70


def test_the_tables_of_the_page_are_up_to_date() -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    assert page == metrics_page(ROOT), "run python -m pykyro.telemetry.document"


def test_the_page_lists_every_declared_metric_under_its_heading_and_no_other() -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    assert re.findall(r"^\| `(kyrodb_\w+)` \|", page, flags=re.MULTILINE) == NAMES
    for section in SECTIONS:
        below = page.split(f"\n## {section.heading}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(kyrodb_\w+)` \|", below, flags=re.MULTILINE) == [
            metric.name for metric in section.metrics
        ]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_help_text_stands_alone(metric: Instrument) -> None:
    assert re.fullmatch(r"[A-Z0-9g].{25,}\.", metric.help)
    assert not re.match(r"(Those|These|That|It|They|Them|This|The same|Likewise|Of)\b", metric.help)
    # Another metric is named in full.
    assert set(re.findall(r"\bkyrodb_\w+", metric.help)) <= {*NAMES} - {metric.name}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_name_unit_and_help_agree(metric: Instrument) -> None:
    for suffix, unit in (("_seconds", "seconds"), ("_bytes", "bytes"), ("_ns", "nanoseconds")):
        if metric.name.removesuffix("_total").endswith(suffix):
            assert metric.unit == unit
    if metric.unit == FLAG:
        assert re.match(r"1 (while|if|for) ", metric.help)
    if metric.unit == SHARE and "confidence interval" not in metric.help:
        assert "share" in metric.help.lower()
        assert "from 0 to 1" in metric.help
