"""The metrics of the document cache: what it holds, what it learned, and what other policies would have served."""

from __future__ import annotations

from collections.abc import Iterator

from kyrodb.cache.document_cache import DocumentCache
from kyrodb.cache.policies.learned import Learned
from kyrodb.cache.policies.split import Split
from kyrodb.engine.training import Training
from kyrodb.observe.counters import ratio
from kyrodb.observe.exposition import Family, counter, gauge, labelled


def document_cache_families(cache: DocumentCache, training: Training | None) -> Iterator[Family]:
    """What the learned policy knows is left out while it decides nothing."""
    yield gauge("document_cache_size", "Documents in the document cache.", len(cache))
    yield labelled(
        "document_cache_lookups_total",
        "counter",
        "Lookups of documents that exist, by whether the document cache had them.",
        "outcome",
        {"hit": cache.hits, "miss": cache.misses},
    )
    yield counter("document_cache_evictions_total", "Documents let go to make room.", cache.evictions)
    yield labelled(
        "document_cache_ghost_hit_ratio",
        "gauge",
        "Hit ratio that each policy would have, from a sample of the lookups.",
        "policy",
        cache.ghosts.ratios(),
    )
    yield counter("document_cache_ghost_lookups_total", "Lookups in that sample.", cache.ghosts.lookups)
    yield labelled(
        "document_cache_policy",
        "gauge",
        "1 for the policy that decides what is kept.",
        "policy",
        {name: int(name == cache.live) for name in sorted({*cache.ghosts.policies, cache.live})},
    )
    yield counter("document_cache_switches_total", "Times another policy took over.", cache.switches)
    if isinstance(cache.policy, Split):
        yield labelled(
            "document_cache_half_hit_ratio",
            "gauge",
            "Hit ratio of the half of the ids that each policy has.",
            "policy",
            cache.policy.ratios(),
        )
    if training is not None:
        yield counter("training_cycles_completed_total", "Trainings of the predictor.", cache.trainings)
        yield counter("training_crashes_total", "Trainings that ended by an error.", training.failures)
        yield counter("training_restarts_total", "Times training went on after one.", training.restarts)
        yield counter(
            "hsc_training_skips_total", "Trainings that had too few accesses.", cache.trainings_skipped
        )
        yield gauge("hsc_access_logger_depth", "Accesses held for training.", len(cache.log))
    if cache.learned is not None:
        yield from _learned(cache, cache.learned)


def _learned(cache: DocumentCache, learned: Learned) -> Iterator[Family]:
    control, semantic, predictor = cache.control, cache.semantic, cache.predictor
    wrong = learned.unread_total + learned.missed_total
    yield counter("learned_cache_predictions_total", "Admissions decided by score.", learned.predictions)
    yield counter(
        "learned_cache_false_positives_total", "Admitted and evicted without a hit.", learned.unread_total
    )
    yield counter(
        "learned_cache_false_negatives_total", "Refused and soon asked for again.", learned.missed_total
    )
    yield gauge(
        "learned_cache_accuracy",
        "Share of those decisions that neither was.",
        max(0.0, 1.0 - ratio(wrong, learned.predictions)) if learned.predictions else 0.0,
    )
    yield gauge("hsc_predictor_trained", "1 once the predictor was trained.", int(predictor.trained))
    yield gauge("hsc_predictor_threshold", "Admission threshold of the last training.", predictor.threshold)
    yield gauge("hsc_cache_threshold", "Admission threshold in force, with bias.", learned.threshold)
    yield gauge(
        "hsc_admission_controller_enabled", "1 when the threshold is adapted.", int(control is not None)
    )
    yield gauge("hsc_admission_bias", "What is added to it.", control.bias if control is not None else 0.0)
    yield gauge("hsc_target_utilization", "Fill up to which any document is taken.", cache.target_fill)
    yield gauge("hsc_cache_utilization", "Fill.", len(cache) / learned.capacity)
    yield counter(
        "hsc_admission_controller_adjustments_total",
        "Times the bias moved.",
        control.moves if control is not None else 0,
    )
    yield gauge("hsc_tracked_docs", "Documents the predictor ranks.", len(predictor))
    yield gauge("hsc_hot_doc_count", "Documents in the document cache.", len(cache))
    yield gauge("hsc_semantic_enabled", "1: likeness is looked at.", 1)
    yield counter(
        "hsc_semantic_fast_path_decisions_total",
        "Documents below the threshold taken without comparing vectors.",
        semantic.fast,
    )
    yield counter("hsc_semantic_slow_path_decisions_total", "Documents compared.", semantic.compared)
    yield counter("hsc_semantic_hits_total", "Of those, alike to one taken before.", semantic.alike)
    yield counter("hsc_semantic_misses_total", "Of those, not.", semantic.compared - semantic.alike)
    yield gauge("hsc_semantic_cached_embeddings", "Vectors kept for comparing.", semantic.vectors)
