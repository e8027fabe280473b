"""Service level objectives: what the configuration asks of the server, judged from its counters."""

from __future__ import annotations

from dataclasses import dataclass

from kyrodb.config.observing import SloSettings
from kyrodb.observe.counters import Counters, ratio


@dataclass(frozen=True, slots=True)
class SloReport:
    """The values of one moment. `breaches` maps each objective to a sentence, "" when it is met."""

    p99_latency_ns: int
    cache_hit_rate: float
    error_rate: float
    availability: float
    breaches: dict[str, str]

    @property
    def reasons(self) -> list[str]:
        """The sentence of each objective that is not met."""
        return [sentence for sentence in self.breaches.values() if sentence]


def judge(counters: Counters, objectives: SloSettings) -> SloReport:
    """Current values, and which objectives they breach; none before `min_samples` queries."""
    p99_latency_ns = counters.query_latency.percentiles_ns(99)[0]
    hit_rate = ratio(counters.cache_hits, counters.cache_hits + counters.cache_misses)
    error_rate = ratio(counters.queries_failed, counters.queries_total)
    availability = 1.0 - error_rate
    breaches = dict.fromkeys(("p99_latency", "cache_hit_rate", "error_rate", "availability"), "")
    if counters.queries_total >= objectives.min_samples:
        if p99_latency_ns > objectives.p99_latency_ns:
            breaches["p99_latency"] = f"P99 latency {p99_latency_ns}ns exceeds SLO"
        if hit_rate < objectives.cache_hit_rate:
            breaches["cache_hit_rate"] = f"Cache hit rate {100 * hit_rate:.2f}% below SLO"
        if error_rate > objectives.error_rate:
            breaches["error_rate"] = f"Error rate {100 * error_rate:.3f}% exceeds SLO"
        if availability < objectives.availability:
            breaches["availability"] = f"Availability {100 * availability:.3f}% below SLO"
    return SloReport(p99_latency_ns, hit_rate, error_rate, availability, breaches)
