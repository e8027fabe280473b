"""The metrics of searches, of their measured recall, and of the caches that answer requests."""

from __future__ import annotations

from typing import Final

from pykyro.telemetry.catalogue.declaration import SHARE, MetricGroup

SEARCH: Final = MetricGroup("Search and cache")

HNSW_SEARCHES_TOTAL: Final = SEARCH.counter(
    "kyrodb_hnsw_searches_total",
    "searches",
    "Searches that the server answered, whether from a cache, by a scan or with a graph.",
)
HNSW_LATENCY: Final = SEARCH.gauge(
    "kyrodb_hnsw_latency_ns",
    "nanoseconds",
    "Time to answer a search: the 99th percentile of the last 5 minutes, at most the last 1000 searches.",
)
SEARCHES_PARTIAL_TOTAL: Final = SEARCH.counter(
    "kyrodb_searches_partial_total",
    "searches",
    "Searches whose answer leaves out some of a tier, because its time limit had passed: timeouts.hot_tier_ms or "
    "timeouts.cold_tier_ms.",
    "tier",
)
SEARCH_DURATION: Final = SEARCH.histogram(
    "kyrodb_search_duration_seconds",
    "seconds",
    "Duration of searches, by the part of the database that answered: cache, hot or cold (one tier), hot_and_cold "
    "(both tiers), none (there was nothing to search).",
    "path",
)
WORD_SEARCH_DURATION: Final = SEARCH.histogram(
    "kyrodb_word_search_duration_seconds",
    "seconds",
    "Duration of searches by words, by their legs: text (words alone), fused (words and a vector). They count among "
    "the searches of kyrodb_search_duration_seconds too.",
    "legs",
)
TIER_HITS_TOTAL: Final = SEARCH.counter(
    "kyrodb_tier_hits_total",
    "requests",
    "Lookups by id that found their document in this tier, and searches that this tier took part in. Answers from a "
    "cache do not count.",
    "tier",
)
CACHE_HITS_TOTAL: Final = SEARCH.counter(
    "kyrodb_cache_hits_total", "requests", "Lookups by id and searches that a cache answered."
)
CACHE_MISSES_TOTAL: Final = SEARCH.counter(
    "kyrodb_cache_misses_total", "requests", "Lookups by id and searches that no cache could answer."
)
CACHE_HIT_RATE: Final = SEARCH.gauge(
    "kyrodb_cache_hit_rate",
    SHARE,
    "Share of the lookups by id and searches since the server started that a cache answered, from 0 to 1.",
)
CACHE_SIZE: Final = SEARCH.gauge(
    "kyrodb_cache_size", "answers", "Answers of searches that the query cache holds."
)
CACHE_BYTES: Final = SEARCH.gauge(
    "kyrodb_cache_bytes", "bytes", "Memory of the answers that the query cache holds."
)
CACHE_EVICTIONS_TOTAL: Final = SEARCH.counter(
    "kyrodb_cache_evictions_total", "answers", "Answers that the query cache removed to make room."
)
QUERY_CACHE_EVENTS_TOTAL: Final = SEARCH.counter(
    "kyrodb_query_cache_events_total",
    "events",
    "What happened when searches asked the query cache: exact, certified, rescored, threshold (it found an answer of "
    "this kind), late (it found one after timeouts.cache_ms, which was not used), miss (it found none), unproved (a "
    "similar search had an answer, but nothing proves that it fits), overtaken (a write came before a new answer "
    "could be kept).",
    "event",
)
QUERY_CACHE_CHECKS_TOTAL: Final = SEARCH.counter(
    "kyrodb_query_cache_checks_total",
    "checks",
    "Unproved answers of the query cache that the server compared with a real search; only while "
    "cache.query_cache_mode is rescored.",
)
QUERY_CACHE_THRESHOLD: Final = SEARCH.gauge(
    "kyrodb_query_cache_threshold",
    "cosine",
    "Cosine similarity between two searches from which the query cache answers one with the documents of the other, "
    "unproved. Only while cache.query_cache_mode is rescored, and absent while no such answer is allowed.",
)
QUERY_CACHE_RECALL: Final = SEARCH.gauge(
    "kyrodb_query_cache_recall",
    SHARE,
    "Share of the results of a real search that unproved answers of the query cache contain, from 0 to 1. Only while "
    "cache.query_cache_mode is rescored, and absent while no such answer is allowed.",
)
QUERY_CACHE_RECALL_LOW: Final = SEARCH.gauge(
    "kyrodb_query_cache_recall_low",
    SHARE,
    "Lower end of the 95 % confidence interval of kyrodb_query_cache_recall; absent when that is.",
)
RECALL_ESTIMATE: Final = SEARCH.gauge(
    "kyrodb_recall_estimate",
    SHARE,
    "Recall, measured on a sample of searches: the share of the true nearest documents that they returned, from 0 to "
    "1, by what answered (path) and by whether a filter, namespace or tenant narrowed the search (filtered). The "
    "labels all and any stand for all searches together. Absent before the first sample.",
    "path",
    "filtered",
)
RECALL_LOW: Final = SEARCH.gauge(
    "kyrodb_recall_low",
    SHARE,
    "Lower end of the 95 % confidence interval of kyrodb_recall_estimate.",
    "path",
    "filtered",
)
RECALL_HIGH: Final = SEARCH.gauge(
    "kyrodb_recall_high",
    SHARE,
    "Upper end of the 95 % confidence interval of kyrodb_recall_estimate.",
    "path",
    "filtered",
)
RECALL_SAMPLES_TOTAL: Final = SEARCH.counter(
    "kyrodb_recall_samples_total",
    "searches",
    "Searches that the server repeated exactly in the background to measure recall.",
)
RECALL_OVERTAKEN_TOTAL: Final = SEARCH.counter(
    "kyrodb_recall_overtaken_total",
    "searches",
    "Searches sampled to measure recall and given up because one of their documents was written meanwhile.",
)
RECALL_CPU: Final = SEARCH.counter(
    "kyrodb_recall_cpu_seconds_total",
    "seconds",
    "Processor time that measuring recall took, at most 2 % of one processor.",
)
EF_SEARCH: Final = SEARCH.gauge(
    "kyrodb_ef_search",
    "candidates",
    "Candidates that a graph search keeps (ef) when the request does not say how many. The server adjusts it when "
    "search.target_recall is set.",
)

DOCUMENT_CACHE: Final = MetricGroup("Document cache")

DOCUMENT_CACHE_SIZE: Final = DOCUMENT_CACHE.gauge(
    "kyrodb_document_cache_size", "documents", "Documents that the document cache holds."
)
DOCUMENT_CACHE_LOOKUPS_TOTAL: Final = DOCUMENT_CACHE.counter(
    "kyrodb_document_cache_lookups_total",
    "lookups",
    "Lookups by id of documents that exist, by whether the document cache held them: hit or miss.",
    "outcome",
)
DOCUMENT_CACHE_EVICTIONS_TOTAL: Final = DOCUMENT_CACHE.counter(
    "kyrodb_document_cache_evictions_total",
    "documents",
    "Documents that the document cache removed to make room.",
)
