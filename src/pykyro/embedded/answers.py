"""From what the engine found to what a caller of the embedded database sees."""

from __future__ import annotations

import time

from pykyro.model.answers import Health, Hit, SearchAnswer, StoredDocument
from pykyro.model.listing import Page
from pykyro.model.requests import EngineStats, SearchResult
from pykyro.version import __version__


def search_answer(result: SearchResult, started_s: float) -> SearchAnswer:
    latency_ms = (time.perf_counter() - started_s) * 1000
    hits = [
        Hit(hit.doc_id, hit.score, hit.metadata_wire, None if hit.vector is None else hit.vector.copy())
        for hit in result.hits
    ]
    return SearchAnswer(
        hits=hits,
        total_found=result.total_found,
        exact=result.exact,
        complete=result.complete,
        note=result.note,
        tiers=result.tiers,
        plan=result.plan,
        matched=result.matched,
        examined=result.examined,
        latency_ms=latency_ms,
        cached="" if result.cached is None else result.cached.value,
    )


def stored_documents(page: Page, include_vectors: bool) -> list[StoredDocument]:
    return [
        StoredDocument(
            found.doc_id, found.vector if include_vectors else None, found.metadata_wire, found.tier
        )
        for found in page.documents
    ]


def health_of(stats: EngineStats, uptime_s: float) -> Health:
    """Whether the database is well, after so many seconds."""
    status = (
        "unhealthy"
        if stats.refusing_writes
        else "degraded"
        if stats.maintenance_failure or stats.capacity_warning or stats.disk_warning or stats.room_warning
        else "healthy"
    )
    components = {
        "hot_tier": f"healthy ({stats.hot_documents} docs)",
        "cold_tier": f"healthy ({stats.cold_documents} docs)",
        "wal": f"unhealthy ({stats.refusing_writes}; writes disabled)"
        if stats.refusing_writes
        else "healthy",
    }
    if stats.room_warning:
        components["hot_tier"] = f"degraded ({stats.room_warning})"
    if stats.maintenance_failure or stats.capacity_warning:
        components["cold_tier"] = f"degraded ({stats.maintenance_failure or stats.capacity_warning})"
    if stats.disk_warning and not stats.refusing_writes:
        components["wal"] = f"degraded ({stats.disk_warning})"
    return Health(status, components, __version__, int(uptime_s))
