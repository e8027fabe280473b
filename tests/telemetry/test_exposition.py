"""The text of a scrape: exact for what scrapers match on, and readable by Prometheus' own parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pykyro.telemetry.catalogue.declaration import Family, Instrument
from pykyro.telemetry.counters import Histogram
from pykyro.telemetry.exposition import render


def test_integers_are_plain_and_other_numbers_have_six_decimals() -> None:
    families = [
        Instrument("kyrodb_queries_failed", "counter", "queries", "Queries that failed.").of(3),
        Instrument("kyrodb_cache_hit_rate", "gauge", "share", "Hits.").of(0.5),
        Instrument("kyrodb_query_latency_ns", "gauge", "nanoseconds", "Latency.", ("percentile",)).by_label(
            {"50": 10, "99": 20}
        ),
    ]
    assert render(families) == (
        "# HELP kyrodb_queries_failed Queries that failed.\n"
        "# TYPE kyrodb_queries_failed counter\n"
        "kyrodb_queries_failed 3\n"
        "# HELP kyrodb_cache_hit_rate Hits.\n"
        "# TYPE kyrodb_cache_hit_rate gauge\n"
        "kyrodb_cache_hit_rate 0.500000\n"
        "# HELP kyrodb_query_latency_ns Latency.\n"
        "# TYPE kyrodb_query_latency_ns gauge\n"
        'kyrodb_query_latency_ns{percentile="50"} 10\n'
        'kyrodb_query_latency_ns{percentile="99"} 20\n'
    )


def test_histogram_is_cumulative_and_ends_with_its_sum_and_count() -> None:
    histogram = Histogram()
    for duration_s in (0.0002, 0.02, 30.0):
        histogram.observe(duration_s)
    took = Instrument("kyrodb_time_seconds", "histogram", "seconds", "Time.", ("rpc",))
    lines = render([took.by_label({"Search": histogram})]).splitlines()
    assert 'kyrodb_time_seconds_bucket{rpc="Search",le="0.0001"} 0' in lines
    assert 'kyrodb_time_seconds_bucket{rpc="Search",le="0.00025"} 1' in lines
    assert 'kyrodb_time_seconds_bucket{rpc="Search",le="10"} 2' in lines
    assert lines[-3:] == [
        'kyrodb_time_seconds_bucket{rpc="Search",le="+Inf"} 3',
        'kyrodb_time_seconds_sum{rpc="Search"} 30.020200',
        'kyrodb_time_seconds_count{rpc="Search"} 3',
    ]


THING = Instrument("kyrodb_thing", "gauge", "things", "A thing.", ("name",))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=20),
    st.integers(0, 2**53),
)
def test_label_of_any_text_comes_through(text: str, value: int) -> None:
    rendered = render([THING.by_label({text: value})])
    (family,) = text_string_to_metric_families(rendered)
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"name": text}, value)


@pytest.mark.parametrize("family", [THING.of(1), THING.by_labels([(("a", "b"), 1)])])
def test_other_labels_than_the_declared_ones_are_refused(family: Family) -> None:
    with pytest.raises(ValueError, match="zip"):
        render([family])
