"""Keys of the caches: cache, cache.adaptive_admission, cache.semantic."""

from __future__ import annotations

from typing import Annotated, Literal

from kyrodb import limits
from kyrodb.config.declare import LOWERCASE, Integer, Number, Section, key


class AdaptiveAdmissionSettings(Section):
    """How the learned admission threshold follows the state of the document cache."""

    enabled: bool = key(True, "Move the admission threshold with fill, evictions and wrong predictions.")
    target_utilization: Number = key(
        0.90, "Share of the document cache that should be in use.", unit="ratio", ge=0, le=1
    )
    control_interval_secs: Integer = key(
        15, "Least time between two moves of the threshold.", unit="s", ge=1, le=limits.DURATION_MAX
    )
    max_bias: Number = key(
        0.18,
        "Farthest the threshold may move either way.",
        unit="ratio",
        gt=0,
        le=limits.ADMISSION_BIAS_MAX,
    )


class SemanticSettings(Section):
    """Admission by likeness to what was admitted before."""

    high_confidence_threshold: Number = key(
        0.60, "Predicted score from which a document is admitted without comparing vectors.", ge=0, le=1
    )
    low_confidence_threshold: Number = key(
        0.25,
        "At most high_confidence_threshold; admission has no lower threshold.",
        ge=0,
        le=1,
        compatibility_only=True,
    )
    semantic_similarity_threshold: Number = key(
        0.80, "Cosine similarity from which two documents count as alike.", ge=0, le=1
    )
    max_cached_embeddings: Integer = key(
        100_000,
        "Most vectors of admitted documents that may be kept for comparing; similarity_scan_limit says how many are.",
        unit="vectors",
        ge=1,
        le=limits.COUNT_MAX,
    )
    similarity_scan_limit: Integer = key(
        2000,
        "Newest of those vectors a decision looks at; at most max_cached_embeddings.",
        unit="vectors",
        ge=1,
        le=limits.COUNT_MAX,
    )


class CacheSettings(Section):
    """The document cache (L1a), the query cache (L1b), and when the hot tier is sealed."""

    capacity: Integer = key(
        10_000,
        "Documents the document cache holds, and documents the hot tier holds before it is sealed.",
        unit="documents",
        ge=1,
        le=limits.COUNT_MAX,
    )
    strategy: Annotated[Literal["lru", "learned", "abtest", "auto"], LOWERCASE] = key(
        "learned",
        "Which documents the cache keeps: the most recently used, those predicted to be read again, half the "
        "traffic each way to compare the two, or whichever is measured to serve best. lru and abtest are for "
        "environment.type benchmark.",
    )
    training_interval_secs: Integer = key(
        600, "Time between two trainings of the predictor.", unit="s", ge=1, le=limits.DURATION_MAX
    )
    enable_training_task: bool = key(True, "Log accesses and train the predictor.")
    logger_window_size: Integer = key(
        1_000_000, "Latest accesses kept for training.", unit="accesses", ge=1, le=limits.COUNT_MAX
    )
    predictor_capacity_multiplier: Integer = key(
        4,
        "Documents the predictor ranks, as a multiple of capacity; never more than hnsw.max_elements.",
        ge=1,
        le=limits.COUNT_MAX,
    )
    query_cache_capacity: Integer = key(
        100, "Searches the query cache holds.", unit="searches", ge=1, le=limits.COUNT_MAX
    )
    query_cache_mode: Annotated[Literal["exact", "certified", "rescored", "threshold", "off"], LOWERCASE] = (
        key(
            "certified",
            "When a cached search may answer another: the same query again (exact); proved equal to a fresh "
            "search (certified); near enough, scored anew and held to query_cache_min_recall by sampling "
            "(rescored); near enough, as it was (threshold); never (off).",
        )
    )
    query_cache_similarity_threshold: Number = key(
        0.52,
        "Cosine similarity from which two queries are near enough in the modes rescored and threshold.",
        ge=0,
        le=1,
    )
    query_cache_min_recall: Number = key(
        0.95,
        "Share of a fresh search's results that answers in mode rescored must keep on average.",
        unit="ratio",
        ge=0,
        le=1,
    )
    search_access_log_top_n: Integer = key(
        16,
        "First results of a search that count as accesses in training.",
        unit="results",
        ge=1,
        le=limits.COUNT_MAX,
    )
    hot_tier_max_age_secs: Integer | None = key(
        None,
        "Age at which the hot tier is sealed though not full; null is training_interval_secs.",
        unit="s",
        ge=1,
        le=limits.DURATION_MAX,
        example=600,
    )
    training_window_secs: Integer = key(
        3600, "Oldest access a training looks at.", unit="s", ge=1, le=limits.DURATION_MAX
    )
    recency_halflife_secs: Integer = key(
        1800,
        "Age at which an access weighs 1/e of a fresh one in training.",
        unit="s",
        ge=1,
        le=limits.DURATION_MAX,
    )
    min_training_samples: Integer = key(
        100,
        "Accesses below which a training is skipped; at most capacity.",
        unit="accesses",
        ge=1,
        le=limits.COUNT_MAX,
    )
    admission_threshold: Number = key(
        0.15,
        "Predicted score from which a document is admitted, before training has set its own.",
        ge=0,
        le=1,
    )
    adaptive_admission: AdaptiveAdmissionSettings = AdaptiveAdmissionSettings()
    semantic: SemanticSettings = SemanticSettings()

    @property
    def hot_tier_age_secs_max(self) -> int:
        """Age in seconds at which the hot tier is sealed though not full."""
        return (
            self.training_interval_secs if self.hot_tier_max_age_secs is None else self.hot_tier_max_age_secs
        )
