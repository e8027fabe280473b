"""From what the engine found to what a caller of the embedded database sees."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pykyro.model.answers import Health, Hit, SearchAnswer, StoredDocument
from pykyro.model.listing import Page
from pykyro.model.metadata_wire import TEXT_ID_TAG, text_id_in
from pykyro.model.requests import EngineStats, Found, LegHit, SearchResult
from pykyro.model.types import AnyId
from pykyro.model.values import value_of
from pykyro.version import __version__


def search_answer(result: SearchResult, started_s: float) -> SearchAnswer:
    latency_ms = (time.perf_counter() - started_s) * 1000
    found: Sequence[AnyId] = [hit.doc_id for hit in result.hits]
    if found and result.hits[0].metadata_wire.startswith(TEXT_ID_TAG):
        found = [text_id_in(hit.metadata_wire) for hit in result.hits]
    hits = [
        Hit(
            own_id,
            hit.score,
            hit.metadata_wire,
            None if hit.vector is None else hit.vector.copy(),
            position=hit.position,
            legs=hit.legs if isinstance(hit, LegHit) else (),
            highlights=hit.highlights if isinstance(hit, LegHit) else (),
            group=value_of(hit.group) if isinstance(hit, LegHit) and hit.group is not None else None,
        )
        for own_id, hit in zip(found, result.hits, strict=True)
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
        position=result.position,
        fusion=result.fusion,
    )


def stored(found: Found | None, include_vector: bool) -> StoredDocument | None:
    if found is None:
        return None
    # A copy, so that neither a tier nor a mapped file outlives its use for the sake of one row.
    vector = found.vector.copy() if include_vector else None
    return StoredDocument(_id_of(found), vector, found.metadata_wire, found.tier, position=found.position)


def stored_documents(page: Page, include_vectors: bool) -> list[StoredDocument]:
    return [
        StoredDocument(
            _id_of(found),
            found.vector if include_vectors else None,
            found.metadata_wire,
            found.tier,
            position=found.position,
        )
        for found in page.documents
    ]


def _id_of(found: Found) -> AnyId:
    wire = found.metadata_wire
    return text_id_in(wire) if wire.startswith(TEXT_ID_TAG) else found.doc_id


def health_of(
    stats: EngineStats | None, recall_warning: str, uptime_s: float, troubles: Sequence[str] = ()
) -> Health:
    """Whether the database is well, after so many seconds; `stats` and `recall_warning` are those of `default`, if
    there is one, and `troubles` those of other collections."""
    components = {} if stats is None else _components_of_default(stats, recall_warning)
    if troubles:
        components["collections"] = f"degraded ({'; '.join(troubles)})"
    words = {state.partition(" ")[0] for state in components.values()}
    status = next((word for word in ("unhealthy", "degraded") if word in words), "healthy")
    return Health(status, components, __version__, int(uptime_s))


def _components_of_default(stats: EngineStats, recall_warning: str) -> dict[str, str]:
    cold_warning = (
        stats.cold_tier_warning or stats.maintenance_failure or stats.capacity_warning or recall_warning
    )
    components = {
        "hot_tier": f"degraded ({stats.room_warning})"
        if stats.room_warning
        else f"healthy ({stats.hot_documents} docs)",
        "cold_tier": f"degraded ({cold_warning})"
        if cold_warning
        else f"healthy ({stats.cold_documents} docs)",
        "wal": f"degraded ({stats.disk_warning})" if stats.disk_warning else "healthy",
    }
    if stats.refusing_writes:
        components["wal"] = f"unhealthy ({stats.refusing_writes}; writes disabled)"
    return components
