"""From response bytes to the answers callers see."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import numpy as np

from pykyro.model.answers import DocumentPage, Facet, Health, Hit, SearchAnswer, Stats, StoredDocument
from pykyro.model.legs import LegScore, Span
from pykyro.model.requests import Tier
from pykyro.model.text_ids import INTEGER
from pykyro.model.types import Vector
from pykyro.model.values import values_with_tags
from pykyro.proto import kyrodb_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

_TIERS: Final[dict[pb.SearchResponse.SearchPath, frozenset[Tier]]] = {
    pb.SearchResponse.CACHE_HIT: frozenset({Tier.CACHE}),
    pb.SearchResponse.HOT_TIER_ONLY: frozenset({Tier.HOT}),
    pb.SearchResponse.COLD_TIER_ONLY: frozenset({Tier.COLD}),
    pb.SearchResponse.HOT_AND_COLD: frozenset({Tier.HOT, Tier.COLD}),
}
_SERVED_FROM: Final[dict[pb.QueryResponse.ServedFrom, Tier]] = {
    pb.QueryResponse.CACHE: Tier.CACHE,
    pb.QueryResponse.HOT_TIER: Tier.HOT,
    pb.QueryResponse.COLD_TIER: Tier.COLD,
}


def search_answer(payload: bytes) -> SearchAnswer:
    """The answer in a SearchResponse."""
    response = pb.SearchResponse.FromString(payload)
    return SearchAnswer(
        hits=[
            Hit(
                row.text_id or row.doc_id,
                row.precise_score if row.HasField("precise_score") else row.score,
                row.metadata,
                _vector(row.embedding),
                row.types,
                row.expires_at,
                row.position,
                [LegScore(each.leg, each.rank, each.score) for each in row.legs],
                [Span(each.key, each.start, each.end) for each in row.highlights],
                values_with_tags({"": row.group}, row.group_type)[""] if row.group_type else None,
            )
            for row in response.results
        ],
        total_found=response.total_found,
        exact=response.exact,
        complete=not response.partial,
        note=response.error,
        tiers=_TIERS.get(response.search_path, frozenset()),
        plan=response.plan,
        matched=response.matched,
        examined=response.rows_examined,
        latency_ms=response.search_latency_ms,
        cached=_word(pb.SearchResponse.CacheKind, response.cache_kind),
        position=response.position,
        fusion=_word(pb.SearchResponse.FusionEnd, response.fusion_end),
    )


def _word(kinds: EnumTypeWrapper, kind: int) -> str:
    """What a kind is called; empty for none, and for one that only a newer server knows."""
    return kinds.Name(kind).lower() if kind and kind in kinds.values() else ""


def stored_document(response: pb.QueryResponse) -> StoredDocument | None:
    """The document in a QueryResponse, None when it was not found."""
    if not response.found:
        return None
    return StoredDocument(
        id=response.text_id or response.doc_id,
        vector=_vector(response.embedding),
        metadata=response.metadata,
        types=response.types,
        expires_us=response.expires_at,
        tier=_SERVED_FROM.get(response.served_from),
        position=response.position,
    )


def document_page(response: pb.ScrollResponse) -> DocumentPage:
    """The page in a ScrollResponse."""
    documents = [found for one in response.documents if (found := stored_document(one)) is not None]
    return DocumentPage(documents, response.next_page_token, response.position)


def facets(response: pb.FacetsResponse) -> list[Facet]:
    """The values in a FacetsResponse; one whose type a later version brought is its text."""
    return [
        Facet(values_with_tags({"": facet.text}, facet.type)[""], facet.count) for facet in response.facets
    ]


def health(response: pb.HealthResponse) -> Health:
    status = pb.HealthResponse.Status.Name(response.status).lower()
    return Health(status, dict(response.components), response.version, response.uptime_seconds)


def stats(metrics: pb.MetricsResponse, config: pb.ConfigResponse) -> Stats:
    return Stats(
        documents=metrics.hot_tier_size + metrics.cold_tier_size,
        hot_documents=metrics.hot_tier_size,
        cold_documents=metrics.cold_tier_size,
        documents_max=config.hnsw_max_elements,
        hot_flushes=metrics.hot_tier_flushes,
        dimension=config.embedding_dimension,
        distance=config.hnsw_distance.lower(),
        id_type=config.id_type or INTEGER,
    )


def _vector(embedding: Collection[float]) -> Vector | None:
    # protobuf's container of floats hands NumPy its memory, so no component becomes a Python object.
    return np.array(embedding, dtype=np.float32) if embedding else None
