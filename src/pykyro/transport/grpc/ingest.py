"""A stream of documents on its way into the log.

While one group of the stream is being committed the next is read. A group is committed when it is large, when its
first document has waited STREAM_LINGER_S, or at the end of the stream: small groups would cost a fast client more
than that wait costs a slow one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from pykyro.memory.account import TALLY_SLACK_BYTES
from pykyro.memory.budget import Kind
from pykyro.model.arguments import Schema
from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.limits import (
    REFUSAL_TEXT_BYTES_MAX,
    STREAM_GROUP_BYTES_MAX,
    STREAM_GROUP_DOCUMENTS_MAX,
    STREAM_LINGER_S,
)
from pykyro.model.requests import Ack
from pykyro.model.types import LSN
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.admission import HELD_TWICE, Admission
from pykyro.service.commits import Commits, Outcome
from pykyro.telemetry.counters import Counters
from pykyro.tenancy.quota import QuotaExceeded
from pykyro.transport.grpc.status import code_of
from pykyro.transport.grpc.writes import decode_inserts, insert_fault, request_bytes


class Ingest:
    """One stream. `stored`, `invalid` (the request is wrong) and `failed` (the database could not) count
    documents; `last_error` is the text of the latest refusal, `quota_exceeded` the latest for want of quota.
    `refusals` are those refused, if they are to be named: then the stream is of STREAM_MESSAGES_MAX at most."""

    def __init__(
        self,
        caller: Caller,
        commits: Commits,
        schema: Schema,
        counters: Counters,
        admission: Admission,
        *,
        names_refused: bool = False,
    ) -> None:
        self.stored = 0
        self.invalid = 0
        self.failed = 0
        self.last_error = ""
        self.position: LSN = 0
        """That of the last document stored."""
        self.quota_exceeded: QuotaExceeded | None = None
        self.refusals: list[pb.InsertResponse.Refusal] = []
        self._names_refused = names_refused
        self._text_bytes = 0
        self._caller = caller
        self._commits = commits
        self._schema = schema
        self._counters = counters
        self._admission = admission
        self._held = admission.streams
        self.check: Callable[[bytes], None] = lambda payload: None
        """Raises what refuses a message, and ends the stream."""
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._committing: list[bytes] = []
        self._committing_bytes = 0
        self._group_done = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # When the client left, what is under way goes in and what was only gathered does not.
        self._held.held -= HELD_TWICE * self._gathered_bytes
        self._gathered, self._gathered_bytes = [], 0
        self._stop_lingering()

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    async def add(self, payload: bytes) -> None:
        """Take a message, for a token. Waits while a whole group is gathered and the one before it is not durable.

        While memory is short nothing is gathered, and a message that may not begin is refused. Raises what `check`
        and `spend` raise, once everything taken before is durable or refused.
        """
        try:
            self.check(payload)
        except KyroError:
            await self.finish()
            raise
        await self.spend()
        if self._admission.short:
            await self.finish()
            try:
                self._admission.check(Kind.WRITE, len(payload))
            except ResourceExhausted as fault:
                self._turn_away(fault)
                return
        size = request_bytes(payload)
        self._gathered.append(payload)
        self._gathered_bytes += size
        held = self._held
        held.held += HELD_TWICE * size
        if held.held - held.charged > TALLY_SLACK_BYTES:
            held.settle()
        if self._committing:
            if self._is_full:
                await self._next_done()
        elif self._is_full:
            self._commit_gathered()
        elif self._lingering is None:
            self._linger()

    async def spend(self) -> None:
        """Pay with a token of the caller's. Raises what `Caller.spend` raises, once everything taken before is
        durable or refused."""
        try:
            self._caller.spend()
        except KyroError:
            await self.finish()
            raise

    def is_idle(self) -> bool:
        """Whether everything taken is durable or refused."""
        return not self._committing and not self._gathered

    def refuse(self, fault: KyroError) -> None:
        """Count a message that is not even looked at."""
        self.last_error = str(fault)
        self._name(self._done_count, fault)
        self.invalid += 1
        self._counters.inserts(1, 1)
        self._counters.error(fault)

    def _turn_away(self, fault: ResourceExhausted) -> None:
        """Count a message there is no room for; everything before it is done."""
        self.last_error = str(fault)
        self._name(self._done_count, fault)
        self.failed += 1
        self._counters.inserts(1, 1)
        self._counters.error(fault)

    async def finish(self) -> None:
        """Return when everything taken is durable or refused."""
        while self._committing:
            await self._next_done()
        if self._gathered:
            self._commit_gathered()
            await self._next_done()

    @property
    def _is_full(self) -> bool:
        return (
            len(self._gathered) >= STREAM_GROUP_DOCUMENTS_MAX
            or self._gathered_bytes >= STREAM_GROUP_BYTES_MAX
        )

    def _linger(self) -> None:
        self._lingering = asyncio.get_running_loop().call_later(STREAM_LINGER_S, self._commit_gathered)

    async def _next_done(self) -> None:
        self._group_done.clear()
        await self._group_done.wait()

    def _commit_gathered(self) -> None:
        self._stop_lingering()
        group, weight = self._gathered, self._gathered_bytes
        self._committing, self._gathered, self._gathered_bytes = group, [], 0
        self._committing_bytes = weight
        # A stream has one group under way, so it needs no shedding: it waits.
        future = self._commits.submit(
            partial(decode_inserts, group, self._schema, self._caller),
            size=len(group),
            weight=weight,
            share=self._caller.share,
            may_shed=False,
        )
        future.add_done_callback(self._on_committed)

    def _on_committed(self, future: asyncio.Future[Sequence[Outcome]]) -> None:
        outcomes = future.result()
        refused, first = 0, self._done_count
        for position, (payload, outcome) in enumerate(zip(self._committing, outcomes, strict=True), first):
            if isinstance(outcome, Ack):
                self._caller.usage.inserts += not outcome.existed
                self.position = outcome.lsn
            else:
                refused += 1
                self._count(payload, outcome)
                self._name(position, outcome)
        self.stored += len(outcomes) - refused
        self._counters.inserts(len(outcomes), refused)
        self._committing = []
        self._held.held -= HELD_TWICE * self._committing_bytes
        if self._is_full:
            self._commit_gathered()
        elif self._gathered:
            self._linger()
        self._group_done.set()

    @property
    def _done_count(self) -> int:
        return self.stored + self.invalid + self.failed

    def _name(self, position: int, error: Exception) -> None:
        """Say of which message `last_error` is the reason."""
        if not self._names_refused:
            return
        self._text_bytes += len(self.last_error.encode())
        text = self.last_error if self._text_bytes <= REFUSAL_TEXT_BYTES_MAX else ""
        self.refusals.append(
            pb.InsertResponse.Refusal(position=position, error=text, code=code_of(error).value[0])
        )

    def _count(self, payload: bytes, error: KyroError) -> None:
        self._counters.error(error)
        if isinstance(error, InvalidArgument):
            self.invalid += 1
            self.last_error = insert_fault(payload, error)
        else:
            self.failed += 1
            self.last_error = str(error)
            if isinstance(error, QuotaExceeded):
                self.quota_exceeded = error
