"""One workload for every rig: random steps against an engine, driven by one thread and one seed.

Ids are few, so that documents are replaced, updated and deleted often. Vectors hold small whole numbers, a run of
zeros, and the number of the step that wrote them, so that no two versions of a document are equal. Some metadata
is longer than a disk sector.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pykyro.model.filter import Exact
from pykyro.model.requests import Delete, DeleteMany, DeleteMatching, Operation, Put, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Document, Scope, Vector

IDS = (*range(1, 9), *(2**32 + doc_id for doc_id in (1, 2, 3)), 2**33 + 1, 2**64 - 2, 2**64 - 1)
"""Also such as a tenant's number and an id made together once, and such as do not fit a signed number."""
TENANTS = {"zero": 0, "one": 1}
DIMENSION = 12
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, slots=True)
class Step:
    """`kind` is commit, flush, snapshot, maintain, sync, restart, kill, wait or tenants."""

    kind: str
    operations: tuple[Operation, ...] = ()
    seconds: float = 0.0
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {len(self.operations)}" if self.operations else self.kind


_KINDS = {
    "commit": 30,
    "flush": 3,
    "snapshot": 1,
    "maintain": 10,
    "sync": 1,
    "restart": 1,
    "kill": 1,
    "wait": 1,
    "tenants": 1,
}


def steps(seed: int, count: int) -> Iterator[Step]:
    """The same steps for the same seed."""
    rng = random.Random(seed)
    serial = 0
    for kind in rng.choices(list(_KINDS), list(_KINDS.values()), k=count):
        if kind == "commit":
            size = rng.choice((1, 1, 1, 2, 3, 8))
            operations = []
            for _ in range(size):
                serial += 1
                operations.append(operation(rng, serial))
            yield Step(kind, tuple(operations))
        elif kind == "wait":
            # Sometimes the wall clock is set back.
            yield Step(kind, seconds=rng.choice((0.5, 61.0, 700.0, -3600.0)))
        elif kind == "tenants":
            yield Step(kind, names=tuple(rng.sample("abcdefgh", 2)))
        else:
            yield Step(kind)


def operation(rng: random.Random, serial: int) -> Operation:
    """One random operation. `serial` marks what it writes."""
    doc_id = rng.choice(IDS)
    kind = rng.random()
    if kind < 0.55:
        tenant = rng.choice((None, None, 0, 1))
        return Put(Document(doc_id, vector(rng, serial), metadata(rng, tenant), tenant))
    if kind < 0.72:
        update = {"colour": rng.choice(COLOURS), "serial": str(serial)}
        return UpdateMetadata(doc_id, update, merge=rng.random() < 0.5, scope=scope(rng))
    if kind < 0.85:
        return Delete(doc_id, scope(rng))
    if kind < 0.95:
        return DeleteMany(tuple(rng.sample(IDS, 3)), scope(rng))
    return DeleteMatching(Exact("colour", rng.choice(COLOURS)), scope(rng))


def vector(rng: random.Random, serial: int) -> Vector:
    values = [float(serial), *(rng.randint(0, 5) for _ in range(3))]
    return np.array(values + [0.0] * (DIMENSION - 4), dtype=np.float32)


def metadata(rng: random.Random, tenant: int | None) -> dict[str, str]:
    entries = {"colour": rng.choice(COLOURS)}
    if rng.random() < 0.1:
        entries["text"] = "long " * rng.randint(20, 300)
    entries |= Scope(tenant).constraints
    if rng.random() < 0.4:
        entries[NAMESPACE_KEY] = "n1"
    return entries


def scope(rng: random.Random) -> Scope:
    return Scope(rng.choice((None, None, 0, 1)), "" if rng.random() < 0.8 else "n1")
