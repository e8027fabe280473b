"""What an operation of REST is made of, said once: its checks and its description both come from this."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
ARROW: Final = "application/vnd.apache.arrow.stream"


InThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]


def holds_nothing(size: int) -> None:
    """For who need not charge what is read."""


class Body(BaseModel):
    """A JSON object that comes in: each field of its type and no other, none that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)


class Query(BaseModel):
    """The parameters behind the question mark: texts, of which some spell numbers and bools."""

    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)


class Answer(BaseModel):
    """A JSON object that goes out. Described only: answers are not made from it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class NoQuery(Query):
    """No parameters."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, checked against the declaration of its operation."""

    path: Mapping[str, str]
    query: Any
    """The `query` of the operation."""
    body: Any
    """The `body` of the operation; None where it has none or is of another media type."""
    headers: Mapping[str, str]
    """By name in lower case; of one that came twice the first."""
    media_type: str = ""
    """Of the body."""
    chunks: AsyncIterator[bytes] | None = None
    """A body that is not JSON, while it comes."""
    hold: Callable[[int], None] = holds_nothing
    """Charges so many bytes for what is being read of the body, instead of what was charged before. Raises
    ResourceExhausted."""
    in_thread: InThread = asyncio.to_thread
    """Runs what takes long."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out."""

    content: Any
    """What is written as JSON; None for no body."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: AsyncIterator[Any] | None = None
    """Instead of `content`: what is written while it is made, as a line of JSON each."""


Run: TypeAlias = Callable[[Any, Request], Awaitable[Reply]]
"""Carries out a request by what it is given first, the calls of one request (pykyro.transport.rest.calls)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    summary: str
    run: Run
    answer: type[Answer]
    rpc: str
    """Which RPC carries it out, whose rules are its rules."""
    body: type[Body] | None = None
    query: type[Query] = NoQuery
    statuses: tuple[int, ...] = (200,)
    """Those of success."""
    errors: tuple[int, ...] = ()
    """Those of failure beside those of every operation."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that mean something here, and what they mean."""
    etag: bool = False
    """Whether the answer carries the position as its ETag."""
    streams_in: tuple[str, ...] = ()
    """Media types of a body that is read while it comes, beside JSON."""
    streams_out: tuple[str, ...] = ()
    """Media types of an answer that is sent while it is made, beside JSON."""
