"""Writes on their way to the engine: everybody's, one group at a time.

Inserts come as bytes and are decoded by the thread that commits them, for the reason given in searches.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pykyro.engine.engine import Engine
from pykyro.model.arguments import Schema
from pykyro.model.errors import InvalidArgument, KyroError
from pykyro.model.limits import COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, WAITING_WRITES_MAX
from pykyro.model.requests import Ack, Operation, Put
from pykyro.service.access import Caller
from pykyro.service.batching import Batcher
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc import decode

Outcome: TypeAlias = Ack | KyroError


@dataclass(frozen=True, slots=True)
class Inserts:
    """InsertRequests of one caller as they came, in order. Each has an outcome of its own."""

    payloads: Sequence[bytes]
    caller: Caller


Write: TypeAlias = Inserts | Operation
Commits: TypeAlias = Batcher[Write, list[Outcome]]
"""The weight of an item is its request bytes; its answer has one outcome, or one for each of its inserts."""


def start_commits(engine: Engine, schema: Schema, counters: Counters) -> Commits:
    """The queue of all writes. One thread, so the engine sees one durable group after the other."""

    def commit(writes: list[Write]) -> list[list[Outcome]]:
        wanted = [list(_operations(write, schema)) for write in writes]
        valid = [one for group in wanted for one in group if not isinstance(one, InvalidArgument)]
        outcomes = iter(engine.commit(valid))
        return [
            [one if isinstance(one, InvalidArgument) else next(outcomes) for one in group] for group in wanted
        ]

    return Batcher(
        "commit",
        commit,
        threads=1,
        batch_max=COMMIT_OPERATIONS_MAX,
        weight_max=COMMIT_BYTES_MAX,
        waiting_max=WAITING_WRITES_MAX,
        full="Write queue saturated: {waiting} writes waiting (max: {max})",
        observe_wait=counters.queue_waits["commit"].observe,
    )


def _operations(write: Write, schema: Schema) -> Iterator[Operation | InvalidArgument]:
    if not isinstance(write, Inserts):
        yield write
        return
    for one in decode.documents(write.payloads, schema, write.caller):
        yield one if isinstance(one, InvalidArgument) else Put(one, write.caller.limit)
