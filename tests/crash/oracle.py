"""What must be in the database: a dict, and the writes of which nobody knows yet.

Every write is a list of changes to a dict from key to Doc. A state is *allowed* when it is the acknowledged one
followed by the first few, all or none of the writes in doubt, in their order; a write counts whole or not at all.
The oracle works out what an operation changes by itself and shares no code with the engine's resolver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pykyro.model.errors import KyroError, WriteFailed
from pykyro.model.filter import Exact
from pykyro.model.requests import Ack, Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from pykyro.model.types import (
    NAMESPACE_KEY,
    RESERVED_KEYS,
    TENANT_INDEX_KEY,
    Document,
    Key,
    Scope,
    Vector,
    key_of,
)


@dataclass(frozen=True, slots=True)
class Doc:
    """A document as a value: the vector's bytes, the metadata's pairs in order."""

    vector: bytes
    metadata: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, vector: Vector, metadata: Mapping[str, str]) -> Doc:
        return cls(np.asarray(vector, dtype="<f4").tobytes(), tuple(sorted(metadata.items())))

    @property
    def array(self) -> Vector:
        return np.frombuffer(self.vector, dtype="<f4")


State = dict[Key, Doc]
Change = Mapping[Key, Doc | None]
"""The new documents of a write, None where it removes one."""


class Oracle:
    """Acknowledged state, and tails of writes that may follow it: groups that `failed`, and the one `in_flight`.

    `early` holds writes that were acknowledged before they were synced, as a policy with an interval allows: all
    but a few of the last of them must be there.
    """

    def __init__(self) -> None:
        self.synced: State = {}
        self.early: list[Change] = []
        self.failed: list[list[Change]] = []
        self.in_flight: list[Change] = []

    @property
    def visible(self) -> State:
        """What a read of the running database must show."""
        return apply(self.synced, self.early)

    def begin(self, operations: Sequence[Operation]) -> None:
        """A group is handed to the database."""
        state, self.in_flight = self.visible, []
        for operation in operations:
            change = effect(operation, state)
            if change:
                self.in_flight.append(change)
                state = apply(state, [change])

    def end(
        self, operations: Sequence[Operation], answers: Sequence[Ack | KyroError], *, synced: bool
    ) -> None:
        """The group was answered. `synced` says whether acknowledged means on disk."""
        assert len(answers) == len(operations)
        state, wrote = self.visible, False
        for operation, answer in zip(operations, answers, strict=True):
            change = effect(operation, state)
            if isinstance(answer, Ack):
                existed = (
                    len(change) if not isinstance(operation, Put) else int(operation.document.key in state)
                )
                assert answer.existed == existed, f"{operation} says {answer.existed} existed, not {existed}"
                if change:
                    wrote = True
                    self.early.append(change)
                    state = apply(state, [change])
        if wrote:
            # A later write stands in the log, so what failed before it can never come back.
            self.failed.clear()
        if any(isinstance(answer, WriteFailed) for answer in answers):
            assert not wrote, "a group is written as one"
            self.failed.append(self.in_flight)
        self.in_flight = []
        if synced:
            self.all_synced()

    def all_synced(self) -> None:
        """Everything acknowledged so far is on disk."""
        self.synced = self.visible
        self.early.clear()

    def settle(self, recovered: State) -> None:
        """A restart found this: nothing is in doubt any more."""
        self.synced = dict(recovered)
        self.early.clear()
        self.failed.clear()
        self.in_flight = []

    def allowed(self) -> Iterator[State]:
        """Every state that recovery may find, the fullest acknowledged one first."""
        acknowledged = self.visible
        for tail in (*self.failed, self.in_flight):
            for count in range(len(tail) + 1):
                yield apply(acknowledged, tail[:count])
        for count in range(len(self.early)):
            yield apply(self.synced, self.early[:count])


def apply(state: State, changes: Iterable[Change]) -> State:
    """A copy of `state` after these writes."""
    after = dict(state)
    for change in changes:
        for doc_id, doc in change.items():
            if doc is None:
                after.pop(doc_id, None)
            else:
                after[doc_id] = doc
    return after


def effect(operation: Operation, state: State) -> Change:
    """What the operation changes in this state; empty when nothing."""
    match operation:
        case Put(Document(doc_id, vector, metadata, tenant)):
            return {key_of(tenant, doc_id): Doc.of(vector, metadata)}
        case UpdateMetadata():
            return _update(operation, state)
        case Delete(doc_id, scope):
            key = key_of(scope.tenant, int(doc_id))
            return {key: None} if in_scope(state.get(key), scope) else {}
        case DeleteMany(doc_ids, scope):
            keys = [key_of(scope.tenant, int(doc_id)) for doc_id in doc_ids]
            return {key: None for key in keys if in_scope(state.get(key), scope)}
        case DeleteMatching(Exact(name, value), scope):
            return {
                key: None
                for key, doc in state.items()
                if (name, value) in doc.metadata and in_scope(doc, scope)
            }
    raise ValueError(f"the oracle does not know {operation}")


def in_scope(doc: Doc | None, scope: Scope) -> bool:
    if doc is None:
        return False
    entries = dict(doc.metadata)
    tenant_fits = entries.get(TENANT_INDEX_KEY) == (None if scope.tenant is None else str(scope.tenant))
    return tenant_fits and (not scope.namespace or entries.get(NAMESPACE_KEY) == scope.namespace)


def _update(operation: UpdateMetadata, state: State) -> Change:
    key = key_of(operation.scope.tenant, int(operation.doc_id))
    doc = state.get(key)
    if doc is None or not in_scope(doc, operation.scope):
        return {}
    before = dict(doc.metadata)
    reserved = {key: value for key, value in before.items() if key in RESERVED_KEYS}
    after = {**(before if operation.merge else {}), **operation.metadata, **reserved}
    return {key: Doc(doc.vector, tuple(sorted(after.items())))}
