"""Pages of documents by id: what is asked, what comes back, and the token that names where the next page begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pykyro.model.arguments import bounded_integer, checked_namespace
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import Anything, Filter
from pykyro.model.limits import DOC_ID_MAX, PAGE_DOCUMENTS_MAX
from pykyro.model.requests import Found
from pykyro.model.types import EVERYTHING, LSN, Scope

PAGE_DOCUMENTS: Final = 1000
"""Documents of a page, unless the caller says how many."""
_UP, _DOWN = "up", "down"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Up to `limit` documents in scope that match `filter`, with ids above `after`, or below it when `descending`."""

    limit: int = PAGE_DOCUMENTS
    filter: Filter | None = None
    scope: Scope = EVERYTHING
    after: int | None = None
    descending: bool = False
    include_vectors: bool = False
    include_metadata: bool = True

    def of(self, scope: Scope) -> PageRequest:
        """The same for another scope."""
        return replace(self, scope=scope)


@dataclass(frozen=True, slots=True)
class Page:
    """Documents by ascending or descending id, as they were at `position`. `last` is where the next page begins, None
    when there is none."""

    documents: Sequence[Found]
    last: int | None
    position: LSN


def page_request(
    limit: object,
    filter: Filter | None,
    namespace: str,
    page_token: object = "",
    *,
    descending: bool = False,
    include_vectors: bool,
    include_metadata: bool,
    limit_name: str = "limit",
) -> PageRequest:
    """These arguments of a listing, checked. Raises InvalidArgument."""
    count = bounded_integer(limit, limit_name, 1, PAGE_DOCUMENTS_MAX)
    if not isinstance(page_token, str):
        raise InvalidArgument(f"page_token must be text, got {type(page_token).__name__}", field="page_token")
    return PageRequest(
        limit=count,
        filter=None if isinstance(filter, Anything) else filter,
        scope=Scope(namespace=checked_namespace(namespace)),
        after=parse_page_token(page_token, descending=bool(descending)),
        descending=bool(descending),
        include_vectors=bool(include_vectors),
        include_metadata=bool(include_metadata),
    )


def page_token(last: int | None, *, descending: bool) -> str:
    """Names where the next page begins; "" when there is none."""
    return "" if last is None else f"{_DOWN if descending else _UP}:{last}"


def parse_page_token(token: str, *, descending: bool) -> int | None:
    """Where the page begins that a token of `page_token` names; None for "". Raises InvalidArgument."""
    if not token:
        return None
    direction, _, last = token.partition(":")
    if direction not in (_UP, _DOWN) or not (last.isascii() and last.isdecimal()) or int(last) > DOC_ID_MAX:
        raise InvalidArgument(
            f"page_token {token[:40]!r} is no such token: pass on what the page before returned, or nothing at first",
            field="page_token",
        )
    if (direction == _DOWN) != descending:
        raise InvalidArgument(
            f"page_token {token!r} is of a listing in the other direction: ask with the same descending as before",
            field="page_token",
        )
    return int(last)
