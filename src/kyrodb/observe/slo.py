"""Service level objectives: what the configuration asks of the server, judged over the last WINDOW_S seconds.

A window, not the time since the start: an hour that was bad must neither be blamed for ever nor be diluted by the
month before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kyrodb.config.observing import SloSettings
from kyrodb.observe.counters import Counters
from kyrodb.observe.window import Totals

OBJECTIVES: Final = ("p99_latency", "cache_hit_rate", "error_rate", "availability")


@dataclass(frozen=True, slots=True)
class SloReport:
    """The values of one moment. `breaches` maps each of OBJECTIVES to a sentence, "" when it is met; "recall" is
    among them when there is an objective for it."""

    p99_latency_ns: int
    lately: Totals
    breaches: dict[str, str]

    @property
    def reasons(self) -> list[str]:
        """The sentence of each objective that is not met."""
        return [sentence for sentence in self.breaches.values() if sentence]


def judge(counters: Counters, objectives: SloSettings, recall_at_most: float = 1.0) -> SloReport:
    """Current values, and which objectives they breach; none with fewer than `min_samples` queries to go by.

    `recall_at_most` is the upper end of the interval of the sampled recall, however few the samples.
    """
    p99_latency_ns = counters.query_latency.percentiles_ns(99)[0]
    lately = counters.lately
    hit_rate, error_rate, availability = lately.hit_rate, lately.error_rate, lately.availability
    breaches = dict.fromkeys(OBJECTIVES, "")
    if lately.queries >= objectives.min_samples:
        if p99_latency_ns > objectives.p99_latency_ns:
            breaches["p99_latency"] = f"P99 latency {p99_latency_ns}ns exceeds SLO"
        if hit_rate < objectives.cache_hit_rate:
            breaches["cache_hit_rate"] = f"Cache hit rate {100 * hit_rate:.2f}% below SLO"
        if error_rate > objectives.error_rate:
            breaches["error_rate"] = f"Error rate {100 * error_rate:.3f}% exceeds SLO"
        if availability < objectives.availability:
            breaches["availability"] = f"Availability {100 * availability:.3f}% below SLO"
    if objectives.recall is not None:
        missed = recall_at_most < objectives.recall
        breaches["recall"] = f"Recall at most {100 * recall_at_most:.2f}% below SLO" if missed else ""
    return SloReport(p99_latency_ns, lately, breaches)
