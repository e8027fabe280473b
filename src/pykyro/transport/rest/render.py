"""From the messages of the wire contract to what is written as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc
import numpy as np
from google.protobuf.message import Message

from pykyro.model.cold_tier import LOCAL
from pykyro.model.expiry import as_datetime
from pykyro.model.scalars import time_text
from pykyro.model.value_json import to_json
from pykyro.model.values import values_with_tags
from pykyro.proto import kyrodb_pb2 as pb

_ENCODE: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
_TIERS: Final[Mapping[int, list[str]]] = {
    pb.SearchResponse.CACHE_HIT: ["cache"],
    pb.SearchResponse.HOT_TIER_ONLY: ["hot"],
    pb.SearchResponse.COLD_TIER_ONLY: ["cold"],
    pb.SearchResponse.HOT_AND_COLD: ["hot", "cold"],
}
_TIER: Final[Mapping[int, str]] = {
    pb.QueryResponse.CACHE: "cache",
    pb.QueryResponse.HOT_TIER: "hot",
    pb.QueryResponse.COLD_TIER: "cold",
}
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


def json_bytes(content: Any) -> bytes:
    """The JSON of an answer, in UTF-8."""
    try:
        return _ENCODE(content).encode()
    except ValueError:
        return _ENCODE(_finite(content)).encode()


def metadata(texts: Mapping[str, str], types: str) -> dict[str, Any]:
    """Metadata as values of JSON."""
    if not types:
        return dict(texts)
    return {key: to_json(value, key) for key, value in values_with_tags(texts, types).items()}


def document(response: Any) -> dict[str, Any] | None:
    """A stored document, None of one that was not found; `response` is a QueryResponse."""
    if not response.found:
        return None
    shown: dict[str, Any] = {
        "id": response.text_id or response.doc_id,
        "position": response.position,
        "metadata": metadata(response.metadata, response.types),
    }
    if response.embedding:
        shown["vector"] = np.array(response.embedding, np.float32).tolist()
    if response.expires_at:
        shown["expires_at"] = instant(response.expires_at)
    if response.served_from in _TIER:
        shown["tier"] = _TIER[response.served_from]
    return shown


def search_answer(payload: bytes) -> dict[str, Any]:
    """The answer in a SearchResponse."""
    response = pb.SearchResponse.FromString(payload)
    shown: dict[str, Any] = {
        "hits": [_hit(row) for row in response.results],
        "position": response.position,
        "total_found": response.total_found,
        "matched": response.matched,
        "examined": response.rows_examined,
        "exact": response.exact,
        "complete": not response.partial,
        "latency_ms": response.search_latency_ms,
        "tiers": _TIERS.get(response.search_path, []),
    }
    if response.error:
        shown["note"] = response.error
    if response.plan:
        shown["plan"] = response.plan
    if response.fusion_end:
        shown["fusion"] = pb.SearchResponse.FusionEnd.Name(response.fusion_end).lower()
    if response.cache_kind:
        shown["cached"] = pb.SearchResponse.CacheKind.Name(response.cache_kind).lower()
        shown["cache_margin"] = response.cache_margin
    return shown


def search_answer_or_failure(payload: bytes) -> dict[str, Any]:
    """The same of one of several searches, which may have failed by itself."""
    response = pb.SearchResponse.FromString(payload)
    if response.error and not response.partial and not response.results:
        return {"error": response.error}
    return search_answer(payload)


def _hit(row: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.text_id or row.doc_id,
        "score": row.score,
        "metadata": metadata(row.metadata, row.types),
    }
    if row.embedding:
        shown["vector"] = np.array(row.embedding, np.float32).tolist()
    if row.expires_at:
        shown["expires_at"] = instant(row.expires_at)
    if row.position:
        shown["position"] = row.position
    if row.HasField("precise_score"):
        shown["score"] = row.precise_score
    if row.legs:
        shown["legs"] = [{"leg": one.leg, "rank": one.rank, "score": one.score} for one in row.legs]
    if row.highlights:
        shown["highlights"] = [{"key": one.key, "start": one.start, "end": one.end} for one in row.highlights]
    if row.group_type:
        shown["group"] = to_json(values_with_tags({"": row.group}, row.group_type)[""], "group")
    return shown


def page(payload: bytes) -> dict[str, Any]:
    """The page in a ScrollResponse."""
    response = pb.ScrollResponse.FromString(payload)
    shown = {"documents": [document(one) for one in response.documents], "position": response.position}
    if response.next_page_token:
        shown["next_page_token"] = response.next_page_token
    return shown


def inserted(payload: bytes) -> dict[str, Any]:
    """What became of a stream of documents, from an InsertResponse."""
    response = pb.InsertResponse.FromString(payload)
    shown: dict[str, Any] = {
        "inserted": response.total_inserted,
        "failed": response.total_failed,
        "position": response.position,
    }
    if response.error:
        shown["error"] = response.error
    shown["refusals"] = [
        {"index": one.position, "code": _CODES.get(one.code, "UNKNOWN"), "error": one.error}
        for one in response.refusals
    ]
    return shown


def loaded(payload: bytes) -> dict[str, Any]:
    """The same from a BulkLoadResponse."""
    response = pb.BulkLoadResponse.FromString(payload)
    shown: dict[str, Any] = {
        "inserted": response.total_loaded,
        "failed": response.total_failed,
        "position": response.position,
    }
    return shown | ({"error": response.error} if response.error else {})


def facets(payload: bytes) -> dict[str, Any]:
    """The values in a FacetsResponse."""
    response = pb.FacetsResponse.FromString(payload)
    return {
        "facets": [
            {"value": to_json(values_with_tags({"": one.text}, one.type)[""], "value"), "count": one.count}
            for one in response.facets
        ],
        "position": response.position,
    }


def collection(info: Any) -> dict[str, Any]:
    """A CollectionInfo."""
    config = info.config
    shown: dict[str, Any] = {
        "name": info.name,
        "dimension": config.dimension,
        "distance": config.distance,
        "m": config.m,
        "ef_construction": config.ef_construction,
        "ef_search": config.ef_search,
        "id_type": config.id_type,
        "default_ttl": config.default_ttl_us / 1e6 if config.default_ttl_us else None,
        "cold_tier": config.cold_tier or LOCAL,
        "text": _text_options(config.text) if config.HasField("text") else None,
        "aliases": list(info.aliases),
        "created_at": instant(info.created_at_us) if info.created_at_us else None,
        "open": info.open,
    }
    if info.HasField("documents"):
        shown["documents"] = info.documents
    if info.HasField("size_bytes"):
        shown["size_bytes"] = info.size_bytes
    if info.trouble:
        shown["trouble"] = info.trouble
    return shown


def _text_options(text: Any) -> dict[str, Any]:
    return {
        "keys": list(text.keys),
        **{name: getattr(text, name) for name in ("language", "k1", "b", "stop_words")},
    }


def fields(message: Message) -> dict[str, Any]:
    """A message of plain fields, all of them."""
    return {one.name: getattr(message, one.name) for one in message.DESCRIPTOR.fields}


def instant(microseconds: int) -> str:
    """An instant as text, UTC."""
    moment = as_datetime(microseconds)
    assert moment is not None
    return time_text(moment, "instant")


def _finite(content: Any) -> Any:
    """The same with what stands for infinite numbers, which JSON has not."""
    if isinstance(content, float) and not math.isfinite(content):
        return {"$float": str(content)}
    if isinstance(content, Mapping):
        return {key: _finite(inner) for key, inner in content.items()}
    if isinstance(content, Iterable) and not isinstance(content, str):
        return [_finite(inner) for inner in content]
    return content
