"""Pages of documents by id or by a value: what is asked, what comes back, and the token that names where the next
page begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pykyro.model.arguments import bounded_integer, checked_namespace
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import Anything, Filter
from pykyro.model.limits import DOC_ID_MAX, PAGE_DOCUMENTS_MAX
from pykyro.model.requests import Found
from pykyro.model.types import EVERYTHING, LSN, TEXT_ID_KEY, Scope
from pykyro.model.value_order import ORDERED_KINDS, checked_key

PAGE_DOCUMENTS: Final = 1000
"""Documents of a page, unless the caller says how many."""
_UP, _DOWN = "up", "down"
_ID_DIGITS_MAX: Final = 20
_DIGEST_CHARS: Final = 8
"""Of the key of a listing by value."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Up to `limit` documents in scope that match `filter`, with ids above `after`, or below it when `descending`.

    With `order_by`, a key of metadata, by their values (pykyro.model.value_order): those behind the document `after`,
    which stands at the token `after_value`, None being behind all documents with a value.
    """

    limit: int = PAGE_DOCUMENTS
    filter: Filter | None = None
    scope: Scope = EVERYTHING
    after: int | None = None
    descending: bool = False
    include_vectors: bool = False
    include_metadata: bool = True
    order_by: str = ""
    after_value: str | None = None

    def of(self, scope: Scope) -> PageRequest:
        """The same for another scope."""
        return replace(self, scope=scope)


@dataclass(frozen=True, slots=True)
class Page:
    """Documents in order, as they were at `position`. `last` is the id behind which the next page begins, None when
    there is none, and in a listing by value `last_value` the token at which that document stands, if it has one."""

    documents: Sequence[Found]
    last: int | None
    position: LSN
    last_value: str | None = None


def page_request(
    limit: object,
    filter: Filter | None,
    namespace: str,
    page_token: object = "",
    *,
    descending: bool = False,
    order_by: str | None = None,
    include_vectors: bool,
    include_metadata: bool,
    limit_name: str = "limit",
) -> PageRequest:
    """These arguments of a listing, checked. Raises InvalidArgument."""
    count = bounded_integer(limit, limit_name, 1, PAGE_DOCUMENTS_MAX)
    if not isinstance(page_token, str):
        raise InvalidArgument(f"page_token must be text, got {type(page_token).__name__}", field="page_token")
    key = "" if order_by in (None, "") else checked_key(order_by, "order_by")
    after, after_value = parse_page_token(page_token, descending=bool(descending), order_by=key)
    return PageRequest(
        limit=count,
        filter=None if isinstance(filter, Anything) else filter,
        scope=Scope(namespace=checked_namespace(namespace)),
        after=after,
        descending=bool(descending),
        include_vectors=bool(include_vectors),
        include_metadata=bool(include_metadata),
        order_by=key,
        after_value=after_value,
    )


def next_page_token(page: Page, request: PageRequest) -> str:
    """Names where the page behind `page` begins; "" when there is none.

    up:17                       by id, behind 17
    up:17:5e0fa1b2:tsome-text   by a text id, whose document has the key 17
    down:17:5e0fa1b2:t2020-01-31    by the values of the key with this digest, behind 17, which stands at this token
    down:17:5e0fa1b2:               the same, behind all documents with a value
    """
    if page.last is None:
        return ""
    token = f"{_DOWN if request.descending else _UP}:{page.last}"
    order_by = request.order_by or (TEXT_ID_KEY if page.last_value else "")
    if order_by:
        token += f":{_digest(order_by)}:{page.last_value or ''}"
    return token


def parse_page_token(token: str, *, descending: bool, order_by: str = "") -> tuple[int | None, str | None]:
    """The id and the value token behind which the page begins that a token of `next_page_token` names; None and None
    for "". Raises InvalidArgument."""
    if not token:
        return None, None
    direction, _, rest = token.partition(":")
    last, by_value, place = rest.partition(":")
    key, has_value, value = place.partition(":")
    is_id = last.isascii() and last.isdecimal() and len(last) <= _ID_DIGITS_MAX and int(last) <= DOC_ID_MAX
    is_place = not by_value or (len(key) == _DIGEST_CHARS and has_value and value[:1] in ("", *ORDERED_KINDS))
    if direction not in (_UP, _DOWN) or not is_id or not is_place:
        raise InvalidArgument(
            f"page_token {token[:40]!r} is no such token: pass on what the page before returned, or nothing at first",
            field="page_token",
        )
    if (direction == _DOWN) != descending:
        raise InvalidArgument(
            f"page_token {token[:40]!r} is of a listing in the other direction: ask with the same descending as "
            "before",
            field="page_token",
        )
    orders = (_digest(order_by),) if order_by else ("", _digest(TEXT_ID_KEY))
    if key not in orders:
        raise InvalidArgument(
            f"page_token {token[:40]!r} is of a listing in another order: ask with the same order_by as before",
            field="page_token",
        )
    return int(last), value or None


def _digest(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST_CHARS // 2).hexdigest()
