"""Counting, listing and sampling documents: reads that ask for no vector.

Each answer is true of one position: it is computed between two writes. A write that comes meanwhile has it computed
again, and when writes come all the time it is computed while they wait, which takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

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
from pykyro.model.types import LSN, Scope

_ATTEMPTS: Final = 3
_FOUND_BYTES: Final = 100
"""Of a document in a page, beside its metadata and its vector."""

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

        def found(version: Version) -> list[tuple[int, SearchTier, int]]:
            wanted = self._state.condition(request.filter, request.scope)
            rows = [
                (int(doc_id), tier, int(row))
                for tier in version.oldest_first
                for doc_id, row in zip(
                    *tier.next_rows(wanted, request.after, request.limit, descending=request.descending),
                    strict=True,
                )
            ]
            rows.sort(key=lambda one: one[0], reverse=request.descending)
            return rows[: request.limit]

        rows, position = self._at_one_position(found)
        documents, size = list[Found](), 0
        for doc_id, tier, row in rows:
            document = _found(tier, doc_id, row, request)
            size += _FOUND_BYTES + len(document.metadata_wire) + document.vector.nbytes
            if documents and size > PAGE_BYTES_MAX:
                break
            documents.append(document)
        is_last = len(documents) == len(rows) < request.limit
        return Page(documents, None if is_last or not documents else documents[-1].doc_id, position)

    def sample(self, request: PageRequest, seed: int | None = None) -> Page:
        """Up to `limit` of the documents, each as likely as any other, by ascending id. A `seed` gives the same ones
        as long as nothing is written and no segments are merged."""
        self._check(request.filter, request.scope)
        random = np.random.default_rng(seed)

        def found(version: Version) -> list[tuple[int, SearchTier, int]]:
            wanted = self._state.condition(request.filter, request.scope)
            counts = [tier.count(wanted) for tier in version.oldest_first]
            total = sum(counts)
            ranks = np.sort(random.choice(total, min(request.limit, total), replace=False, shuffle=False))
            rows, first = list[tuple[int, SearchTier, int]](), 0
            for tier, count in zip(version.oldest_first, counts, strict=True):
                here = ranks[(ranks >= first) & (ranks < first + count)] - first
                first += count
                if len(here):
                    chosen = tier.live_rows_at(wanted, here)
                    rows += [
                        (int(doc_id), tier, int(row))
                        for doc_id, row in zip(tier.doc_ids_of(chosen), chosen, strict=True)
                    ]
            return sorted(rows, key=lambda one: one[0])

        rows, position = self._at_one_position(found)
        return Page([_found(tier, doc_id, row, request) for doc_id, tier, row in rows], None, position)

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


def _found(tier: SearchTier, doc_id: int, row: int, request: PageRequest) -> Found:
    vector = tier.vector(row).copy() if request.include_vectors else _NO_VECTOR
    metadata = tier.public_metadata([row])[0] if request.include_metadata else b""
    return Found(doc_id, vector, metadata, tier.kind)
