"""From checked JSON to the messages of the wire contract. Everything here raises InvalidArgument."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pykyro.model.arrangement import checked_arrangement
from pykyro.model.errors import InvalidArgument
from pykyro.model.expiry import checked_expiry
from pykyro.model.filter_dict import parse_filter
from pykyro.model.legs import checked_legs
from pykyro.model.scalars import parse_time, shown, shown_error
from pykyro.model.typed_text import tags_of
from pykyro.model.types import RESERVED_KEYS
from pykyro.model.value_json import from_json
from pykyro.model.values import text_form
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.proto.filter_messages import filter_message
from pykyro.proto.word_messages import leg_fields
from pykyro.transport.rest import schemas

NEVER: Final = "never"
_STANDS_FOR: Final = frozenset({"$time", "$float"})


def floats(vector: Sequence[float]) -> bytes:
    """The components as the wire has them, little-endian; a number beyond float32 becomes infinite, and is refused
    as such."""
    with np.errstate(over="ignore"):
        return np.array(vector, np.float64).astype("<f4").tobytes()


def metadata_of(tree: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The texts of metadata, and their types."""
    texts: dict[str, str] = {}
    for key, inner in tree.items():
        if type(inner) is str:
            texts[key] = inner
            continue
        if key in RESERVED_KEYS:
            continue
        try:
            value = from_json(inner)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(
                f"metadata.{key[:200]} is no value: {shown_error(error)}", field="metadata"
            ) from None
        texts[key] = text_form(value, f"metadata.{key[:200]}")
    return texts, tags_of(texts)


def filter_of(tree: Mapping[str, Any] | None, field: str = "filter") -> pb.MetadataFilter | None:
    """The message of a filter, None of none."""
    if tree is None:
        return None
    try:
        return filter_message(parse_filter(_with_values(tree, field), field=field))
    except RecursionError:
        raise InvalidArgument(f"{field} is nested too deep", field=field) from None


def _with_values(tree: Any, path: str) -> Any:
    """The filter with the values that objects of JSON stand for."""
    if isinstance(tree, list):
        return [_with_values(inner, f"{path}[{at}]") for at, inner in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1 and not _STANDS_FOR.isdisjoint(tree):
        try:
            return from_json(tree)
        except ValueError as error:
            raise InvalidArgument(f"{path} is no value: {shown_error(error)}", field=path) from None
    return {key: _with_values(inner, f"{path}.{key}") for key, inner in tree.items()}


def expiry_of(expires_at: str | None, ttl: float | None) -> pb.Expiry | None:
    """When a document is to go; None says nothing."""
    instant: Any = expires_at
    if expires_at == NEVER:
        instant = math.inf
    elif expires_at is not None:
        try:
            instant = parse_time(expires_at)
        except ValueError as error:
            raise InvalidArgument(f"expires_at is no time: {error}", field="expires_at") from None
    expiry = checked_expiry(instant, ttl)
    if expiry is None:
        return None
    if expiry.at_us:
        return pb.Expiry(expires_at=expiry.at_us)
    return pb.Expiry(ttl=expiry.ttl_us) if expiry.ttl_us else pb.Expiry()


def write_options(
    *,
    if_absent: bool = False,
    if_position: int | None = None,
    if_filter: pb.MetadataFilter | None = None,
    idempotency_key: str = "",
) -> pb.WriteOptions | None:
    """What a write asks beside its content; None for nothing."""
    if not if_absent and if_position is None and if_filter is None and not idempotency_key:
        return None
    return pb.WriteOptions(
        if_absent=if_absent, if_position=if_position, if_filter=if_filter, idempotency_key=idempotency_key
    )


def read_options(min_position: int, max_wait_ms: int | None) -> pb.ReadOptions | None:
    """How fresh a read is to be; None when any state will do."""
    if not min_position and max_wait_ms is None:
        return None
    return pb.ReadOptions(min_position=min_position, max_wait_ms=max_wait_ms)


def id_fields(own_id: int | str) -> dict[str, Any]:
    """The field of a message that an id goes into, by its type."""
    return {"text_id": own_id} if isinstance(own_id, str) else {"doc_id": own_id}


def ids_fields(own_ids: Sequence[int | str]) -> dict[str, Any]:
    """The same for several ids, which are of one type."""
    texts = [own_id for own_id in own_ids if isinstance(own_id, str)]
    if texts and len(texts) < len(own_ids):
        raise InvalidArgument(
            "ids has integers and texts; all ids of a collection are of one type", field="ids"
        )
    return {"text_ids": texts} if texts else {"doc_ids": own_ids}


def path_id(text: str, *, is_text: bool) -> int | str:
    """The id that a path names."""
    if is_text:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 2**64):
        raise InvalidArgument(
            f"id must be an integer, got {shown(text)}: the ids of this collection are integers", field="id"
        )
    return int(text)


def insert_message(
    own_id: int | str, document: schemas.PutDocument, options: pb.WriteOptions | None
) -> bytes:
    """The bytes of an InsertRequest."""
    texts, types = metadata_of(document.metadata)
    return wire.InsertRequest(
        **id_fields(own_id),
        embedding=floats(document.vector),
        metadata=texts,
        types=types,
        namespace=document.namespace,
        write_options=options,
        expiry=expiry_of(document.expires_at, document.ttl),
    ).SerializeToString()


def new_document_message(document: schemas.NewDocument) -> bytes:
    """The bytes of an InsertRequest for a document with its own conditions."""
    options = write_options(
        if_absent=document.if_absent,
        if_position=document.if_position,
        if_filter=filter_of(document.if_filter, "if_filter"),
        idempotency_key=document.idempotency_key,
    )
    return insert_message(document.id, document, options)


def search_message(search: schemas.Search, *, inline_errors: bool = False) -> bytes:
    """The bytes of a SearchRequest."""
    legs = checked_legs(
        search.text,
        by_vector=search.vector is not None,
        fuse=search.fuse,
        depth=search.depth,
        highlight=search.highlight,
        explain=search.explain,
        arrangement=checked_arrangement(search.group_by, search.group_size, search.mmr, search.k),
    )
    return wire.SearchRequest(
        query_embedding=b"" if search.vector is None else floats(search.vector),
        k=search.k,
        min_score=search.min_score,
        namespace=search.namespace,
        include_embeddings=search.include_vectors,
        filter=filter_of(search.filter),
        ef_search=search.ef_search,
        exact=search.exact,
        exclude_metadata=not search.include_metadata,
        inline_errors=inline_errors,
        read_options=read_options(search.min_position, search.max_wait_ms),
        include_positions=search.include_positions,
        **leg_fields(legs),
    ).SerializeToString()
