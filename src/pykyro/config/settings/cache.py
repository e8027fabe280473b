"""Keys of the caches: cache, cache.adaptive_admission, cache.semantic."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pykyro.config.settings.declare import LOWERCASE, Integer, Number, Section, key
from pykyro.model import limits

_ONE_POLICY: Final = "The document cache has one policy, SIEVE."


def _no_effect(
    default: object, *, ge: float | None = None, gt: float | None = None, le: float | None = None
) -> Any:
    """A key of the learned admission that earlier versions had."""
    return key(default, _ONE_POLICY, ge=ge, gt=gt, le=le, compatibility_only=True)


class AdaptiveAdmissionSettings(Section):
    """How the learned admission of earlier versions adapted its threshold."""

    enabled: bool = _no_effect(True)
    target_utilization: Number = _no_effect(0.90, ge=0, le=1)
    control_interval_secs: Integer = _no_effect(15, ge=1, le=limits.DURATION_MAX)
    max_bias: Number = _no_effect(0.18, gt=0, le=limits.ADMISSION_BIAS_MAX)


class SemanticSettings(Section):
    """How the learned admission of earlier versions compared documents."""

    high_confidence_threshold: Number = _no_effect(0.60, ge=0, le=1)
    low_confidence_threshold: Number = _no_effect(0.25, ge=0, le=1)
    semantic_similarity_threshold: Number = _no_effect(0.80, ge=0, le=1)
    max_cached_embeddings: Integer = _no_effect(100_000, ge=1, le=limits.COUNT_MAX)
    similarity_scan_limit: Integer = _no_effect(2000, ge=1, le=limits.COUNT_MAX)


class CacheSettings(Section):
    """The document cache (L1a), the query cache (L1b), and when the hot tier is sealed."""

    capacity: Integer = key(
        10_000,
        "Number of documents that the document cache holds, and number that the hot tier holds before it is sealed.",
        unit="documents",
        ge=1,
        le=limits.COUNT_MAX,
    )
    strategy: Annotated[Literal["lru", "learned", "abtest", "auto"], LOWERCASE] = key(
        "learned", _ONE_POLICY, compatibility_only=True
    )
    training_interval_secs: Integer = key(
        600,
        "Age at which the hot tier is sealed even when it is not full, unless hot_tier_max_age_secs is set.",
        unit="s",
        ge=1,
        le=limits.DURATION_MAX,
    )
    enable_training_task: bool = _no_effect(True)
    logger_window_size: Integer = _no_effect(1_000_000, ge=1, le=limits.COUNT_MAX)
    predictor_capacity_multiplier: Integer = _no_effect(4, ge=1, le=limits.COUNT_MAX)
    query_cache_capacity: Integer = key(
        100, "Number of searches that the query cache holds.", unit="searches", ge=1, le=limits.COUNT_MAX
    )
    query_cache_mode: Annotated[Literal["exact", "certified", "rescored", "threshold", "off"], LOWERCASE] = (
        key(
            "certified",
            "Which cached search may answer a new one: one of the same query (exact); also one proved equal to a "
            "fresh search (certified); one of a near query, scored again and held to query_cache_min_recall by "
            "sampling (rescored); one of a near query, unchanged (threshold); none (off).",
        )
    )
    query_cache_similarity_threshold: Number = key(
        0.52,
        "Least cosine similarity of two queries that count as near in the modes rescored and threshold.",
        ge=0,
        le=1,
    )
    query_cache_min_recall: Number = key(
        0.95,
        "Least average share of a fresh search's results that answers in mode rescored must contain.",
        unit="ratio",
        ge=0,
        le=1,
    )
    search_access_log_top_n: Integer = _no_effect(16, ge=1, le=limits.COUNT_MAX)
    hot_tier_max_age_secs: Integer | None = key(
        None,
        "Age at which the hot tier is sealed even when it is not full; null is training_interval_secs.",
        unit="s",
        ge=1,
        le=limits.DURATION_MAX,
        example=600,
    )
    training_window_secs: Integer = _no_effect(3600, ge=1, le=limits.DURATION_MAX)
    recency_halflife_secs: Integer = _no_effect(1800, ge=1, le=limits.DURATION_MAX)
    min_training_samples: Integer = _no_effect(100, ge=1, le=limits.COUNT_MAX)
    admission_threshold: Number = _no_effect(0.15, ge=0, le=1)
    adaptive_admission: AdaptiveAdmissionSettings = AdaptiveAdmissionSettings()
    semantic: SemanticSettings = SemanticSettings()

    @property
    def hot_tier_age_secs_max(self) -> int:
        """Age in seconds at which the hot tier is sealed though not full."""
        return (
            self.training_interval_secs if self.hot_tier_max_age_secs is None else self.hot_tier_max_age_secs
        )
