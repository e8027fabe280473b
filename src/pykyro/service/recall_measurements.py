"""The metrics of sampled recall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pykyro.cache.similar import SimilarityControl
from pykyro.engine.recall.monitor import RecallMonitor
from pykyro.engine.recall.tally import RecallEstimate
from pykyro.telemetry.exposition import Family, Labels, counter, gauge


def recall_families(monitor: RecallMonitor, ef_search: int) -> Iterator[Family]:
    """Estimates by class and overall, none before the first sample."""
    report = monitor.report()
    estimates: dict[Labels, RecallEstimate] = {
        (("path", each.path), ("filtered", str(each.filtered).lower())): estimate
        for each, estimate in report.by_class.items()
    }
    if report.overall is not None:
        estimates[("path", "all"), ("filtered", "any")] = report.overall
        yield _family(
            "recall_estimate", "Share of the true answer that sampled searches return.", estimates, "mean"
        )
        yield _family("recall_low", "Lower end of the 95 % interval of that.", estimates, "low")
        yield _family("recall_high", "Upper end.", estimates, "high")
    yield counter("recall_samples_total", "Searches repeated exactly to measure recall.", report.samples)
    yield counter(
        "recall_overtaken_total", "Samples given up because a write came between.", report.overtaken
    )
    yield Family(
        "recall_cpu_seconds_total",
        "counter",
        "Processor time of those repetitions.",
        {(): report.processor_s},
    )
    yield gauge("ef_search", "Candidates a graph walk keeps when a request does not say.", ef_search)


def checked_families(control: SimilarityControl) -> Iterator[Family]:
    """What checking the unproved answers of mode `rescored` has shown; the threshold only while any is served."""
    mean, low, _ = control.recall()
    yield counter("query_cache_checks_total", "Unproved answers compared with a search.", control.checks)
    if control.threshold <= 1:
        yield gauge(
            "query_cache_threshold", "Cosine from which answers are served unproved.", control.threshold
        )
        yield gauge("query_cache_recall", "Share of a search's results that those keep.", mean)
        yield gauge("query_cache_recall_low", "Lower end of the 95 % interval of that.", low)


def _family(name: str, help: str, estimates: Mapping[Labels, RecallEstimate], what: str) -> Family:
    return Family(name, "gauge", help, {labels: getattr(one, what) for labels, one in estimates.items()})
