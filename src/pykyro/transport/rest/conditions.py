"""Conditions and keys that come as headers: If-Match, If-None-Match, Idempotency-Key, and ETag on the way out.

The position of a document is its ETag.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pykyro.model.errors import InvalidArgument
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.transport.rest.declare import Request
from pykyro.transport.rest.messages import filter_of, write_options

IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY = "if-match", "if-none-match", "idempotency-key"
_TAG: Final = re.compile(r'"([0-9]{1,20})"', re.ASCII)
_ANY: Final = "*"


def etag_of(position: int) -> str:
    """The ETag of a document."""
    return f'"{position}"'


def position_in(header: str, name: str) -> int:
    """The position that an ETag names. Raises InvalidArgument."""
    found = _TAG.fullmatch(header.strip())
    if found is None or int(found[1]) >= 2**64:
        raise InvalidArgument(
            f'{name} must be one ETag, a position in quotes such as "17", or *, got {header[:60]!r}',
            field=name,
        )
    return int(found[1])


def options_of(request: Request, *, inserts: bool) -> pb.WriteOptions | None:
    """What headers and body of a write ask together. Raises InvalidArgument."""
    body, headers = request.body, request.headers
    if_absent = bool(inserts and body.if_absent)
    if_position: int | None = getattr(body, "if_position", None)
    if_filter = filter_of(getattr(body, "if_filter", None), "if_filter")
    if IF_NONE_MATCH in headers:
        if headers[IF_NONE_MATCH].strip() != _ANY or not inserts:
            raise InvalidArgument(
                f"{IF_NONE_MATCH} of a write must be * on a PUT, which is stored only if there is none, got "
                f"{headers[IF_NONE_MATCH][:60]!r}",
                field=IF_NONE_MATCH,
            )
        if_absent = True
    match = headers.get(IF_MATCH)
    if match is not None and match.strip() == _ANY:
        # Whatever there is matches the empty filter.
        if_filter = if_filter or pb.MetadataFilter()
    elif match is not None:
        if_position = _same(if_position, position_in(match, IF_MATCH))
    return write_options(
        if_absent=if_absent, if_position=if_position, if_filter=if_filter, idempotency_key=key_of(request)
    )


def key_of(request: Request) -> str:
    """The idempotency key in headers or body. Raises InvalidArgument when they differ."""
    said: Any = getattr(request.body, "idempotency_key", "")
    header = request.headers.get(IDEMPOTENCY_KEY, "")
    if said and header and said != header:
        raise InvalidArgument(
            "idempotency_key of the body and the header Idempotency-Key differ", field="idempotency_key"
        )
    return str(said or header)


def _same(said: int | None, header: int) -> int:
    if said is not None and said != header:
        raise InvalidArgument(
            f"if_position of the body is {said}, and If-Match says {header}", field="if_position"
        )
    return header
