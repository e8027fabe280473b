"""Counting, listing and sampling documents, and counting their values: reads that ask for no vector.

Each answer is true of one position: it is computed between two writes. A write that comes meanwhile has it computed
again, and when writes come all the time it is computed while they wait, which takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.engine.expiration import Expiration
from pykyro.engine.facets import Counted, most_frequent
from pykyro.engine.remote.errors import RowGone
from pykyro.engine.request_costs import RequestCosts
from pykyro.engine.state import State, Version
from pykyro.engine.tiers.by_value import first_by_value, first_without_value, merged, value_counts
from pykyro.engine.tiers.tier import SearchTier, ValueOrder
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import Filter
from pykyro.model.limits import PAGE_BYTES_MAX
from pykyro.model.listing import Page, PageRequest
from pykyro.model.metadata_wire import text_id_alone, text_id_in
from pykyro.model.requests import Found
from pykyro.model.types import LSN, TEXT_ID_KEY, Rows, Scope
from pykyro.model.value_order import token_value

_ATTEMPTS: Final = 3
_FOUND_BYTES: Final = 100
"""Of a document in a page, beside its metadata and its vector."""

_READ_TOGETHER: Final = 64
_Rows: TypeAlias = tuple[SearchTier, npt.NDArray[np.uint64], Rows]
"""Rows of a tier and their ids."""

Answer = TypeVar("Answer")


class Listing:
    """Any thread may call any method. Each raises InvalidArgument and ResourceExhausted as a search does."""

    def __init__(
        self,
        state: State,
        commits: CommitSequence,
        writing: AbstractContextManager[Any],
        expiration: Expiration,
    ) -> None:
        """`writing` is the lock that writers hold while they change documents."""
        self._state = state
        self._commits = commits
        self._writing = writing
        self._expiration = expiration
        self._costs = RequestCosts(state)
        self._text_ids = state.texts is not None

    def count(self, condition: Filter | None, scope: Scope) -> tuple[int, LSN]:
        """How many live documents in scope satisfy `condition`, exactly, and at which position."""
        self._check(condition, scope)

        def counted(version: Version) -> int:
            wanted = self._state.condition(condition, scope)
            return sum(tier.count(wanted) for tier in version.oldest_first)

        return self._at_one_position(counted)

    def page(self, request: PageRequest) -> Page:
        """The next documents by id, or by a value. As long as a page is not empty, there may be another.

        A text id is found by its key, whose order says nothing: its order is that of the entry it stands in.
        """
        return _unmoved(lambda: self._page(request))

    def _page(self, request: PageRequest) -> Page:
        self._check(request.filter, request.scope)
        if not request.order_by:
            if request.after is not None and (request.after_value is not None) != self._text_ids:
                raise _token_of_others(self._text_ids)
            if self._text_ids:
                request = replace(request, order_by=TEXT_ID_KEY)
        if request.order_by:
            return self._page_by_value(request)

        def found(version: Version) -> list[_Rows]:
            wanted = self._state.condition(request.filter, request.scope)
            parts = []
            for tier in version.oldest_first:
                doc_ids, rows = tier.next_rows(
                    wanted, request.after, request.limit, descending=request.descending
                )
                if len(rows):
                    parts.append((tier, doc_ids, rows))
            return _first(parts, request.limit, descending=request.descending)

        parts, position = self._at_one_position(found)
        count = sum(len(rows) for _, _, rows in parts)
        documents = _in_order(parts, request, self._text_ids)
        is_last = len(documents) == count < request.limit
        return Page(documents, None if is_last or not documents else documents[-1].doc_id, position)

    def _page_by_value(self, request: PageRequest) -> Page:
        self._costs.check_order(request.order_by)

        def found(version: Version) -> tuple[list[_Place], bool]:
            wanted = self._state.condition(request.filter, request.scope)
            places, complete = list[_Place](), True
            if request.after is None or request.after_value is not None:
                places, complete = _by_value(version, wanted, request)
            if complete:
                places += _without_value(version, wanted, request, request.limit - len(places))
            return places, complete and len(places) < request.limit

        (places, are_last), position = self._at_one_position(found)
        rank = {place.doc_id: number for number, place in enumerate(places)}
        documents = _in_order(_by_tier(places), request, self._text_ids, rank)
        if not documents or (are_last and len(documents) == len(places)):
            return Page(documents, None, position)
        last = places[len(documents) - 1]
        return Page(documents, last.doc_id, position, last.token or None)

    def facets(
        self, key: str, condition: Filter | None, scope: Scope, limit: int
    ) -> tuple[list[tuple[Any, int]], LSN]:
        """The values under `key` of the live documents in scope that satisfy `condition`, with their exact counts:
        the `limit` most frequent, the most frequent first, and at which position. Raises InvalidArgument when it
        would take too long."""
        self._check(condition, scope)
        self._costs.check_facets(key, self._state.condition(condition, scope))

        def counted(version: Version) -> list[Counted]:
            wanted = self._state.condition(condition, scope)
            return [part for tier in version.oldest_first for part in value_counts(tier, wanted, key)]

        parts, position = self._at_one_position(counted)
        return [(token_value(token), count) for token, count in most_frequent(parts, limit)], position

    def sample(self, request: PageRequest, seed: int | None = None) -> Page:
        """Up to `limit` of the documents, each as likely as any other, by ascending id. A `seed` gives the same ones
        as long as nothing is written and no segments are merged."""
        return _unmoved(lambda: self._sample(request, seed))

    def _sample(self, request: PageRequest, seed: int | None) -> Page:
        self._check(request.filter, request.scope)
        random = np.random.default_rng(seed)

        def found(version: Version) -> list[_Rows]:
            wanted = self._state.condition(request.filter, request.scope)
            counts = [tier.count(wanted) for tier in version.oldest_first]
            total = sum(counts)
            ranks = np.sort(random.choice(total, min(request.limit, total), replace=False, shuffle=False))
            parts, first = list[_Rows](), 0
            for tier, count in zip(version.oldest_first, counts, strict=True):
                here = ranks[(ranks >= first) & (ranks < first + count)] - first
                first += count
                if len(here):
                    rows = tier.live_rows_at(wanted, here)
                    parts.append((tier, tier.doc_ids_of(rows), rows))
            return _first(parts, request.limit, descending=False)

        parts, position = self._at_one_position(found)
        documents = _in_order(parts, request, self._text_ids)
        if self._text_ids:
            documents.sort(key=lambda document: text_id_in(document.metadata_wire))
        return Page(documents, None, position)

    def _check(self, condition: Filter | None, scope: Scope) -> None:
        wanted = self._state.condition(condition, scope)
        if wanted is not None:
            self._costs.filter_us(wanted)

    def _at_one_position(self, read: Callable[[Version], Answer]) -> tuple[Answer, LSN]:
        """What is read while no write changes anything, and the position it is true at."""
        state, commits = self._state, self._commits
        if state.may_expire:
            self._expiration.before_reading()
        for _ in range(_ATTEMPTS):
            before = commits.number_if_idle()
            version, position = state.version, state.position
            if before is None:
                continue
            answer = read(version)
            if commits.number == before:
                return answer, position
        with self._writing:
            return read(state.version), state.position


def _unmoved(read: Callable[[], Page]) -> Page:
    """What is read; again when a document was moved to another machine before it was read."""
    for _ in range(_ATTEMPTS):
        with suppress(RowGone):
            return read()
    return read()


_NO_VECTOR: Final[npt.NDArray[np.float32]] = np.empty(0, np.float32)


def _first(parts: list[_Rows], limit: int, *, descending: bool) -> list[_Rows]:
    """The `limit` rows that come first by id, of each tier in that order."""
    if sum(len(rows) for _, _, rows in parts) > limit:
        together = np.sort(np.concatenate([doc_ids for _, doc_ids, _ in parts]))
        last = together[-limit] if descending else together[limit - 1]
        cut = [(part, part[1] >= last if descending else part[1] <= last) for part in parts]
        parts = [(tier, doc_ids[kept], rows[kept]) for (tier, doc_ids, rows), kept in cut]
    in_order = []
    for tier, doc_ids, rows in parts:
        order = np.argsort(doc_ids)[:: -1 if descending else 1]
        in_order.append((tier, doc_ids[order], rows[order]))
    return in_order


def _token_of_others(text_ids: bool) -> InvalidArgument:
    """What refuses a page token that no page of this collection has returned."""
    here, there = ("text", "integers") if text_ids else ("integers", "text")
    return InvalidArgument(
        f"page_token is of a collection whose ids are {there}, and here they are {here}: pass on what the page "
        "before returned, or nothing at first",
        field="page_token",
    )


class _Place(NamedTuple):
    """Where a document stands in the order of values, "" being behind all of them, and where it is."""

    token: str
    doc_id: int
    tier: SearchTier
    row: int


def _by_value(version: Version, wanted: Filter | None, request: PageRequest) -> tuple[list[_Place], bool]:
    """The documents that come next by value, and whether these are all that have one."""
    after = None
    if request.after is not None and request.after_value is not None:
        after = request.after_value, request.after
    order = ValueOrder(request.order_by, after, request.limit, request.descending)
    by_tier = [(tier, first_by_value(tier, wanted, order)) for tier in version.oldest_first]
    tier_of = {entry[:2]: tier for tier, part in by_tier for entry in part.entries}
    found = merged([part for _, part in by_tier], order)
    return [_Place(*entry[:2], tier_of[entry[:2]], entry.row) for entry in found.entries], found.complete


def _without_value(version: Version, wanted: Filter | None, request: PageRequest, count: int) -> list[_Place]:
    """The documents without a value that come next."""
    after = None if request.after_value is not None else request.after
    places = [
        _Place("", doc_id, tier, row)
        for tier in version.oldest_first
        for doc_id, row in zip(
            *(
                part.tolist()
                for part in first_without_value(
                    tier, wanted, request.order_by, after, count, descending=request.descending
                )
            ),
            strict=True,
        )
    ]
    places.sort(key=itemgetter(1), reverse=request.descending)
    return places[:count]


def _by_tier(places: list[_Place]) -> list[_Rows]:
    """The rows of each tier, in order."""
    parts: dict[int, list[_Place]] = {}
    for place in places:
        parts.setdefault(id(place.tier), []).append(place)
    return [
        (
            part[0].tier,
            np.array([place.doc_id for place in part], dtype=np.uint64),
            np.array([place.row for place in part], dtype=np.int64),
        )
        for part in parts.values()
    ]


def _in_order(
    parts: list[_Rows], request: PageRequest, text_ids: bool, rank: Mapping[int, int] | None = None
) -> list[Found]:
    """The documents of these rows by id, or by the rank of their ids, as many as a page may hold."""

    def place(doc_id: int) -> int:
        return rank[doc_id] if rank is not None else -doc_id if request.descending else doc_id

    documents, unread = list[Found](), list[int]()
    for tier, doc_ids, rows in parts:
        read = list(_documents(tier, doc_ids, rows, request, text_ids))
        documents += read
        if len(read) < len(rows):
            unread.append(place(int(doc_ids[len(read)])))
    if len(parts) > 1:
        # What comes behind a document that was too much for its tier waits with it for the next page.
        end = min(unread, default=None)
        documents = [found for found in documents if end is None or place(found.doc_id) < end]
        documents.sort(key=lambda found: place(found.doc_id))
        size = 0
        for at, document in enumerate(documents):
            size += _FOUND_BYTES + len(document.metadata_wire) + document.vector.nbytes
            if at and size > PAGE_BYTES_MAX:
                return documents[:at]
    return documents


def _documents(
    tier: SearchTier, doc_ids: npt.NDArray[np.uint64], rows: Rows, request: PageRequest, text_ids: bool
) -> Iterator[Found]:
    """The documents of these rows, until they are so large together that no page holds more."""
    size, at, kind = 0, 0, tier.kind
    while at < len(rows):
        # Some at once: it costs less than one by one, and not much that a page has no room for is read.
        some = rows[at : at + _READ_TOGETHER]
        wires = [b""] * len(some)
        if request.include_metadata:
            wires = tier.public_metadata(some.tolist())
        elif text_ids:
            wires = [text_id_alone(wire) for wire in tier.public_metadata(some.tolist())]
        vectors = tier.columns_of(some)[1] if request.include_vectors else None
        positions = tier.positions_of(some).tolist()
        for place, (doc_id, wire, position) in enumerate(
            zip(doc_ids[at : at + len(some)].tolist(), wires, positions, strict=True)
        ):
            vector = _NO_VECTOR if vectors is None else vectors[place]
            size += _FOUND_BYTES + len(wire) + vector.nbytes
            if size > PAGE_BYTES_MAX and (at or place):
                return
            yield Found(doc_id, vector, wire, kind, position)
        at += len(some)
