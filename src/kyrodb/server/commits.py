"""Writes on their way to the engine: everybody's, one group at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from kyrodb.engine.engine import Engine
from kyrodb.engine.requests import Ack, Operation
from kyrodb.errors import KyroError
from kyrodb.limits import COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, WAITING_WRITES_MAX
from kyrodb.server.batching import Batcher

Outcome: TypeAlias = Ack | KyroError
Commits: TypeAlias = Batcher[Sequence[Operation], list[Outcome]]
"""Items are operations that belong together in order; the weight of an item is its request bytes."""


def start_commits(engine: Engine) -> Commits:
    """The queue of all writes. One thread, so the engine sees one durable group after the other."""

    def commit(groups: list[Sequence[Operation]]) -> list[list[Outcome]]:
        outcomes = iter(engine.commit([operation for group in groups for operation in group]))
        return [[next(outcomes) for _ in group] for group in groups]

    return Batcher(
        "commit",
        commit,
        threads=1,
        batch_max=COMMIT_OPERATIONS_MAX,
        weight_max=COMMIT_BYTES_MAX,
        waiting_max=WAITING_WRITES_MAX,
        full="Write queue saturated: {waiting} writes waiting (max: {max})",
    )
