"""A stream of documents on its way into the log.

While one group of the stream is being committed the next is decoded; a group is committed as soon as the one
before it is durable. So a slow client's documents do not wait for company, and a fast one's share an fsync.
"""

from __future__ import annotations

import asyncio
from typing import Self

from kyrodb.engine.requests import Operation, Put
from kyrodb.errors import InvalidArgument, KyroError
from kyrodb.limits import STREAM_GROUP_BYTES_MAX, STREAM_GROUP_DOCUMENTS_MAX
from kyrodb.observe.counters import Counters
from kyrodb.server import decode
from kyrodb.server.access import Caller
from kyrodb.server.commits import Commits, Outcome


class Ingest:
    """One stream. `stored`, `invalid` (refused when read) and `failed` (refused by the engine) count documents;
    `last_error` is the text of the latest refusal."""

    def __init__(self, schema: decode.Schema, caller: Caller, commits: Commits, counters: Counters) -> None:
        self.stored = 0
        self.invalid = 0
        self.failed = 0
        self.last_error = ""
        self._schema = schema
        self._caller = caller
        self._commits = commits
        self._counters = counters
        self._gathered: list[Operation] = []
        self._gathered_bytes = 0
        self._committing = 0
        self._settled = asyncio.Event()
        self._settled.set()

    async def add(self, payload: bytes) -> None:
        """Take a message. Waits while a whole group is gathered and the one before it is not durable."""
        try:
            document = decode.document(payload, self._schema, self._caller)
        except InvalidArgument as fault:
            self.refuse(fault, decode.insert_fault(payload, fault))
            return
        self._gathered.append(Put(document))
        self._gathered_bytes += len(payload)
        if not self._committing:
            self._commit_gathered()
        elif (
            len(self._gathered) >= STREAM_GROUP_DOCUMENTS_MAX
            or self._gathered_bytes >= STREAM_GROUP_BYTES_MAX
        ):
            await self._next_settled()

    def refuse(self, fault: KyroError, text: str) -> None:
        """Count a message as invalid."""
        self.invalid += 1
        self.last_error = text
        self._counters.inserts(1, 1)
        self._counters.error(fault)

    async def finish(self) -> None:
        """Return when everything taken is durable or refused."""
        while self._committing:
            await self._next_settled()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # When the client left, what is under way goes in and what was only gathered does not.
        self._gathered = []

    async def _next_settled(self) -> None:
        self._settled.clear()
        await self._settled.wait()

    def _commit_gathered(self) -> None:
        group, weight = self._gathered, self._gathered_bytes
        self._gathered, self._gathered_bytes = [], 0
        self._committing = len(group)
        # A stream has one group under way, so it needs no shedding: it waits.
        future = self._commits.submit(group, weight=weight, may_shed=False)
        future.add_done_callback(self._on_committed)

    def _on_committed(self, future: asyncio.Future[list[Outcome]]) -> None:
        error = future.exception()
        outcomes = future.result() if error is None else [error] * self._committing
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        self.stored += len(outcomes) - len(errors)
        self.failed += len(errors)
        self._counters.inserts(len(outcomes), len(errors))
        for one in errors:
            self._counters.error(one)
        if errors:
            self.last_error = str(errors[-1])
        self._committing = 0
        if self._gathered:
            self._commit_gathered()
        self._settled.set()
