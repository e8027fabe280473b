"""From request bytes to values that cannot be wrong.

Everything here raises InvalidArgument, whose message names the field, the value and the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, ParamSpec, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from pykyro.model.arguments import Schema
from pykyro.model.errors import InvalidArgument
from pykyro.model.expiry import NEVER, Expiry, checked_instant, checked_ttl
from pykyro.model.limits import (
    DOC_ID_MIN,
    METADATA_KEY_BYTES_MAX,
    STREAM_MESSAGES_MAX,
)
from pykyro.model.metadata_bounds import check_metadata_entries, check_metadata_size
from pykyro.model.text_ids import checked_text_id, no_text_id
from pykyro.model.typed_text import CLASSES, with_tags
from pykyro.model.types import RESERVED_KEYS, AnyId, Metric, Vector
from pykyro.model.values import check_values
from pykyro.proto import kyrodb_pb2 as pb

Request = TypeVar("Request", bound=Message)
_Made = TypeVar("_Made")
_Given = ParamSpec("_Given")

CHECKED_TOGETHER_FROM: Final = 8
"""Vectors from which on a check of all at once takes less time than one of each."""


def parse(kind: type[Request], payload: bytes) -> Request:
    """The message of this kind that `payload` spells."""
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise InvalidArgument(
            f"the {len(payload)} bytes of the request are no valid {kind.DESCRIPTOR.name}"
        ) from None


def typed_metadata(texts: Mapping[str, str], types: str) -> dict[str, str]:
    """A client's metadata with the types it names, checked, one tag for each entry by ascending key."""
    if len(types) != len(texts):
        raise InvalidArgument(
            f"types has {len(types)} tags, one for each entry of metadata is needed, which has {len(texts)}",
            field="types",
        )
    for key, tag in zip(sorted(texts), types):
        if tag not in CLASSES:
            raise InvalidArgument(
                f"types gives metadata.{key[:200]} the tag {tag!r}; it must be one of {''.join(CLASSES)}",
                field="types",
            )
    metadata = with_tags(texts, types)
    check_values(metadata)
    return metadata


def client_metadata(entries: Mapping[str, str], *, bytes_max: int) -> dict[str, str]:
    """A client's metadata without reserved keys. `bytes_max` is known to be at least its size in UTF-8."""
    metadata = {key: value for key, value in entries.items() if key not in RESERVED_KEYS}
    check_metadata_entries(metadata)
    # So small a request cannot break a bound, and most are that small.
    if bytes_max > METADATA_KEY_BYTES_MAX:
        check_metadata_size(metadata)
    return metadata


def expiry_of(message: pb.Expiry) -> Expiry:
    """When a document is to go."""
    match message.WhichOneof("when"):
        case "expires_at":
            return checked_instant(message.expires_at)
        case "ttl":
            return checked_ttl(message.ttl)
        case _:
            return NEVER


def checked_doc_id(doc_id: int) -> int:
    """`doc_id` itself, when it is not 0."""
    if doc_id < DOC_ID_MIN:
        raise InvalidArgument("doc_id must be non-zero", field="doc_id")
    return doc_id


def own_id(doc_id: int, text_id: str, schema: Schema) -> AnyId:
    """The id that a request names by one of its two fields."""
    if schema.text_ids:
        return checked_text_id(text_id, "text_id") if not doc_id else checked_text_id(doc_id, "doc_id")
    if text_id:
        raise no_text_id(text_id, "doc_id")
    return checked_doc_id(doc_id)


def own_ids(doc_ids: Sequence[int], text_ids: Sequence[str], schema: Schema) -> list[AnyId]:
    """The ids that a request names by one of its two lists; integers may be 0, which no document has."""
    check_batch(len(doc_ids) + len(text_ids))
    if schema.text_ids:
        if doc_ids:
            checked_text_id(doc_ids[0], "doc_ids[0]")
        return [checked_text_id(text_id, f"text_ids[{at}]") for at, text_id in enumerate(text_ids)]
    if text_ids:
        raise no_text_id(text_ids[0], "doc_ids[0]")
    return list(doc_ids)


def check_batch(size: int) -> None:
    """Refuse more ids in one request than a stream may have messages."""
    if size > STREAM_MESSAGES_MAX:
        raise InvalidArgument(f"Batch size {size} exceeds maximum {STREAM_MESSAGES_MAX}", field="doc_ids")


def or_fault(
    made: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs
) -> _Made | InvalidArgument:
    """What is made of what is given, or why it is refused."""
    try:
        return made(*given, **named)
    except InvalidArgument as fault:
        return fault


def checked(
    parsed: Sequence[tuple[Request, Vector] | InvalidArgument],
    schema: Schema,
    check: Callable[[Vector, Schema], None],
) -> Iterator[tuple[Request, Vector] | InvalidArgument]:
    """What was parsed, the error in place of each whose vector `check` refuses; all are checked at once."""
    sound = iter(_plainly_sound([one[1] for one in parsed if not isinstance(one, InvalidArgument)], schema))
    for one in parsed:
        if isinstance(one, InvalidArgument) or next(sound):
            yield one
        else:
            fault = or_fault(check, one[1], schema)
            yield one if fault is None else fault


def _plainly_sound(vectors: Sequence[Vector], schema: Schema) -> list[bool]:
    """For which vectors `check_vector` need not be asked; it decides about those near a bound, and sooner about a
    few."""
    if len(vectors) < CHECKED_TOGETHER_FROM or any(vector.shape[0] != schema.dimension for vector in vectors):
        return [False] * len(vectors)
    rows = np.array(vectors, np.float32).reshape(len(vectors), schema.dimension)
    with np.errstate(over="ignore", invalid="ignore"):
        norms_squared = np.einsum("ij,ij->i", rows, rows)
    least = 0.0 if schema.metric is Metric.COSINE else -1.0
    sound: list[bool] = (np.isfinite(norms_squared) & (norms_squared > least)).tolist()
    return sound


def came_whole(request: Message, payload: bytes) -> bool:
    """Whether the vector of a server-side message can be relied on.

    A sender may split a packed field, of which `bytes` keeps the last piece, or not pack it, which is an unknown
    field here. Either leaves bytes over (as do harmless things, such as a default spelt out).
    """
    request.DiscardUnknownFields()
    return request.ByteSize() == len(payload)
