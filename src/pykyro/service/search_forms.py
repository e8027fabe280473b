"""A search as it comes and as it goes: how a transport reads and writes it, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pykyro.model.errors import CallError, DeadlineExceeded, InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.freshness import Freshness
from pykyro.model.requests import SearchRequest, SearchResult, Stage, Tier
from pykyro.service.access import Caller


class SearchCodec(Protocol):
    """How the searches of a transport become typed requests, and their results bytes again."""

    plain_bytes_max: int
    """What is larger holds a filter, and takes long to decode."""

    freshness_mark: bytes
    """What every search has in it that says how fresh it is to be."""

    def freshness(self, payload: bytes) -> Freshness | None:
        """How fresh the search in these bytes is to be. Raises InvalidArgument."""
        ...

    def decode(self, payload: bytes, caller: Caller) -> SearchRequest:
        """The search that is asked for. Raises InvalidArgument."""
        ...

    def decode_many(
        self, searches: Sequence[tuple[bytes, Caller]]
    ) -> Sequence[SearchRequest | InvalidArgument]:
        """`decode` for each, the error of a refused one in its place."""
        ...

    def encode(self, result: SearchResult, latency_ms: float, *, with_plan: bool) -> bytes:
        """The response; without `with_plan` it tells nothing of what other tenants store."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """The response, the tiers it came from and those left out, how it was found and how long it took; with tracing
    also the stages of that."""

    response: bytes
    tiers: frozenset[Tier]
    left_out: frozenset[Tier]
    plan: str
    duration_ns: int
    stages: Sequence[Stage] = ()
    held: object = None
    """What keeps room for a large response in the memory budget."""
    legs: str = ""
    """Of a search by words: "text" or "fused"."""


def failure(error: KyroError) -> Exception:
    """What the caller of a search is told."""
    match error:
        case InvalidArgument():
            return error
        case DeadlineExceeded():
            return CallError("Search timed out", error)
        case ResourceExhausted():
            return CallError("Search rejected", error)
        case _:
            return CallError("Search failed", error)
