"""Service level objectives: what the configuration asks of the server, judged over the last WINDOW_S seconds.

A window, not the time since the start: an hour that was bad must neither be blamed for ever nor be diluted by the
month before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pykyro.config.settings.observability import SloSettings
from pykyro.telemetry.counters import RECENT, Counters
from pykyro.telemetry.window import Totals

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
    """Current values, and which objectives they breach; none with fewer than `min_samples` queries to go by, and for
    the latency as many of those that `Counters.query_latency` holds.

    `recall_at_most` is the upper end of the interval of the sampled recall, however few the samples.
    """
    waited_ns = counters.query_latency.recent_ns()
    p99_latency_ns = _not_exceeded_by_99_of_100(waited_ns)
    lately = counters.lately
    breaches = dict.fromkeys(OBJECTIVES, "")
    if len(waited_ns) >= min(objectives.min_samples, RECENT) and p99_latency_ns > objectives.p99_latency_ns:
        breaches["p99_latency"] = (
            f"P99 latency {p99_latency_ns / 1e6:.2f} ms exceeds SLO of {objectives.p99_latency_ms:g} ms"
        )
    if lately.queries >= objectives.min_samples:
        wanted = objectives.cache_hit_rate
        if wanted is not None and lately.hit_rate < wanted:
            breaches["cache_hit_rate"] = (
                f"Cache hit rate {_percent(lately.hit_rate, 2)} below SLO of {_percent(wanted)}"
            )
        if _too_many(lately, objectives.error_rate):
            breaches["error_rate"] = (
                f"Error rate {_percent(lately.error_rate, 3)} exceeds SLO of {_percent(objectives.error_rate)}"
            )
        if _too_many(lately, 1 - objectives.availability):
            breaches["availability"] = (
                f"Availability {_percent(lately.availability, 3)} below SLO of {_percent(objectives.availability)}"
            )
    if objectives.recall is not None:
        missed = recall_at_most < objectives.recall
        breaches["recall"] = f"Recall at most {100 * recall_at_most:.2f}% below SLO" if missed else ""
    return SloReport(p99_latency_ns, lately, breaches)


def _not_exceeded_by_99_of_100(durations_ns: Sequence[int]) -> int:
    """By nearest rank: of a hundred the second slowest, so that one that is slow does not decide; 0 without any."""
    if not durations_ns:
        return 0
    ordered = sorted(durations_ns)
    return ordered[-(-99 * len(ordered) // 100) - 1]


def _too_many(lately: Totals, share_max: float) -> bool:
    """Whether more queries failed than that share. Where any may fail, a single one is no rate."""
    allowed = share_max * lately.queries
    return lately.failed > (max(1.0, allowed) if share_max > 0 else 0.0)


def _percent(share: float, digits: int | None = None) -> str:
    return f"{100 * share:g}%" if digits is None else f"{100 * share:.{digits}f}%"
