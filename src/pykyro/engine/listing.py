"""Counting, listing and sampling documents: reads that ask for no vector.

Each answer is true of one position: it is computed between two writes. A write that comes meanwhile has it computed
again, and when writes come all the time it is computed while they wait, which takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.engine.request_costs import RequestCosts
from pykyro.engine.state import State, Version
from pykyro.engine.tiers.tier import SearchTier
from pykyro.model.filter import Filter
from pykyro.model.limits import PAGE_BYTES_MAX
from pykyro.model.listing import Page, PageRequest
from pykyro.model.requests import Found
from pykyro.model.types import LSN, Rows, Scope

_ATTEMPTS: Final = 3
_FOUND_BYTES: Final = 100
"""Of a document in a page, beside its metadata and its vector."""

_READ_TOGETHER: Final = 64
_Rows: TypeAlias = tuple[SearchTier, npt.NDArray[np.uint64], Rows]
"""Rows of a tier and their ids."""

Answer = TypeVar("Answer")


class Listing:
    """Any thread may call any method. Each raises InvalidArgument and ResourceExhausted as a search does."""

    def __init__(self, state: State, commits: CommitSequence, writing: AbstractContextManager[Any]) -> None:
        """`writing` is the lock that writers hold while they change documents."""
        self._state = state
        self._commits = commits
        self._writing = writing
        self._costs = RequestCosts(state)

    def count(self, condition: Filter | None, scope: Scope) -> tuple[int, LSN]:
        """How many live documents in scope satisfy `condition`, exactly, and at which position."""
        self._check(condition, scope)

        def counted(version: Version) -> int:
            wanted = self._state.condition(condition, scope)
            return sum(tier.count(wanted) for tier in version.oldest_first)

        return self._at_one_position(counted)

    def page(self, request: PageRequest) -> Page:
        """The next documents by id. As long as a page is not empty, there may be another."""
        self._check(request.filter, request.scope)

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
        documents = _in_order(parts, request)
        is_last = len(documents) == count < request.limit
        return Page(documents, None if is_last or not documents else documents[-1].doc_id, position)

    def sample(self, request: PageRequest, seed: int | None = None) -> Page:
        """Up to `limit` of the documents, each as likely as any other, by ascending id. A `seed` gives the same ones
        as long as nothing is written and no segments are merged."""
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
        return Page(_in_order(parts, request), None, position)

    def _check(self, condition: Filter | None, scope: Scope) -> None:
        wanted = self._state.condition(condition, scope)
        if wanted is not None:
            self._costs.filter_us(wanted)

    def _at_one_position(self, read: Callable[[Version], Answer]) -> tuple[Answer, LSN]:
        """What is read while no write changes anything, and the position it is true at."""
        state, commits = self._state, self._commits
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


def _in_order(parts: list[_Rows], request: PageRequest) -> list[Found]:
    """The documents of these rows by id, as many as a page may hold."""
    documents = [document for part in parts for document in _documents(*part, request)]
    if len(parts) > 1:
        documents.sort(key=lambda document: document.doc_id, reverse=request.descending)
        size = 0
        for at, document in enumerate(documents):
            size += _FOUND_BYTES + len(document.metadata_wire) + document.vector.nbytes
            if at and size > PAGE_BYTES_MAX:
                return documents[:at]
    return documents


def _documents(
    tier: SearchTier, doc_ids: npt.NDArray[np.uint64], rows: Rows, request: PageRequest
) -> Iterator[Found]:
    """The documents of these rows, until they are so large together that no page holds more."""
    size, at, kind = 0, 0, tier.kind
    while at < len(rows):
        # Some at once: it costs less than one by one, and not much that a page has no room for is read.
        some = rows[at : at + _READ_TOGETHER]
        wires = tier.public_metadata(some.tolist()) if request.include_metadata else [b""] * len(some)
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
