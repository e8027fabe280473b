"""Merges of metadata against a dict: whatever is merged, sealed, opened again or cut off, every reader finds the
entries that were set, and filters go by them."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from tests.engine.opening import DIMENSION, nearest, open_small, settle, vectors

from pykyro.backup.offline_reader import OfflineReader
from pykyro.engine.engine import Engine
from pykyro.engine.tiers import hot_tier, merged_metadata
from pykyro.model.errors import KyroError
from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range, matches
from pykyro.model.filter_dict import parse_filter
from pykyro.model.requests import Ack, Delete, Operation, Put, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Document, Key, Scope, Vector, key_of
from pykyro.model.values import text_form
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest

IDS = range(1, 7)
COLOURS = ("red", "green", "blue")
Model = dict[Key, tuple[dict[str, str], Vector]]
"""All metadata, reserved entries included, and the vector."""


@pytest.fixture(params=[4096, 0], ids=["large documents", "documents of any size"])
def shared_from(request: pytest.FixtureRequest) -> Iterator[int]:
    """The size of metadata from which merges share it. At 0 hot tiers of any size are made anew, too."""
    compact = 0 if request.param == 0 else hot_tier._COMPACT_BYTES
    with (
        mock.patch.object(merged_metadata, "_SMALL_BYTES", request.param),
        mock.patch.object(hot_tier, "_COMPACT_BYTES", compact),
    ):
        yield request.param


class Walk:
    """Random operations, carried out in the engine and in a dict."""

    def __init__(
        self, seed: int, path: Path, tenants: tuple[int | None, ...], *, typed: bool = False
    ) -> None:
        """With `typed`, some values are not text."""
        self.typed = typed
        self.random = random.Random(seed)
        self.vectors = iter(vectors(5000, seed=seed))
        self.path = path
        self.tenants = tenants
        self.model: Model = {}
        self.serial = 0
        self.engine = self.opened()

    def opened(self) -> Engine:
        engine = open_small(self.path, hot_rows_max=64)
        if self.tenants != (None,):
            engine.tenant_indices(["a", "b"])
        return engine

    def entries(self, size: int) -> dict[str, str]:
        """Few keys that filters ask for, and many that nobody does."""
        entries = {"colour": self.random.choice(COLOURS), "number": str(self.random.randint(0, 9))}
        if self.typed and self.random.random() < 0.3:
            entries |= self.typed_entries()
        return entries | {f"key{at}": "x" * self.random.randint(10, 90) for at in range(size)}

    def typed_entries(self) -> dict[str, str]:
        """A number, a list and an object, in the keys that filters ask for."""
        number = self.random.randint(0, 9)
        values: dict[str, object] = {
            "number": self.random.choice((number, float(number), number / 4, None, True)),
            "colour": self.random.sample(COLOURS, self.random.randint(0, 2)),
            "place": {"shelf": number, "row": self.random.choice((None, "a", ["b", number]))},
        }
        keys = self.random.sample(sorted(values), 2)
        return {key: text_form(values[key], key) for key in keys}

    def operation(self) -> Operation:
        doc_id, scope, kind = (
            self.random.choice(IDS),
            Scope(self.random.choice(self.tenants)),
            self.random.random(),
        )
        key = key_of(scope.tenant, doc_id)
        known = self.model.get(key)
        self.serial += 1
        if kind < 0.12 or known is None:
            reserved = dict(scope.constraints)
            if self.random.random() < 0.3:
                reserved[NAMESPACE_KEY] = "n"
            metadata = self.entries(self.random.choice((0, 3, 120))) | reserved
            self.model[key] = metadata, next(self.vectors)
            return Put(Document(doc_id, self.model[key][1], metadata, scope.tenant))
        if kind < 0.16:
            del self.model[key]
            return Delete(doc_id, scope)
        reserved = {name: value for name, value in known[0].items() if name.startswith("__")}
        if kind < 0.2:
            replaced = self.entries(self.random.choice((0, 100)))
            self.model[key] = replaced | reserved, known[1]
            return UpdateMetadata(doc_id, replaced, scope=scope)
        changes = {
            self.random.choice(
                ("colour", "number", f"key{self.random.randint(0, 130)}", f"new{self.serial}")
            ): text
            for text in self.random.choice(((), ("red",), ("blue", "7"), (f"text {self.serial}" * 20,)))
        }
        if self.typed and self.random.random() < 0.1:
            changes |= self.typed_entries()
        self.model[key] = known[0] | changes, known[1]
        return UpdateMetadata(doc_id, changes, True, scope)

    def happen(self) -> None:
        """Write a few operations in a group, or let something happen to the directory."""
        chance = self.random.random()
        if chance < 0.9:
            operations = [self.operation() for _ in range(self.random.choice((1, 1, 2, 12)))]
            assert all(answer.existed in (0, 1) for answer in map(must, self.engine.commit(operations)))
        elif chance < 0.94:
            self.engine.flush()
        elif chance < 0.96:
            self.engine.flush()
            settle(self.engine)
        elif chance < 0.98:
            self.engine.close()
            self.engine = self.opened()
        else:
            # The process dies: what it has written so far is what the next one finds.
            killed = self.path.with_name(self.path.name + "+")
            shutil.copytree(self.path, killed)
            self.engine.close()
            self.path = killed
            self.engine = self.opened()

    def check(self) -> None:
        for tenant in self.tenants:
            scope, mine = Scope(tenant), {}
            for doc_id in IDS:
                found, known = self.engine.get(doc_id, scope), self.model.get(key_of(tenant, doc_id))
                assert (found is None) == (known is None)
                if found is not None and known is not None:
                    assert found.metadata == public(known[0])
                    assert found.vector.tobytes() == known[1].tobytes()
                    mine[doc_id] = known[0]
            for condition in (*self.conditions(), *(self.typed_conditions() if self.typed else ())):
                wanted = {doc_id for doc_id, metadata in mine.items() if matches(condition, metadata)}
                found_ids = nearest(
                    self.engine, np.ones(DIMENSION, np.float32), 50, filter=condition, scope=scope
                )
                assert set(found_ids) == wanted

    def conditions(self) -> list[Filter]:
        colour, number = self.random.choice(COLOURS), str(self.random.randint(0, 9))
        return [
            Exact("colour", colour),
            And((In("colour", COLOURS[:2]), Range("number", "gte", number))),
            And((Range("number", "gte", "2"), Range("number", "lt", number))),
            Or((Not(Exact("colour", colour)), Range(f"key{self.random.randint(0, 130)}", None))),
            Not(Range("key5", None)),
            Range("key7", "gte", "y"),
            Exact("key1", "red"),
        ]

    def typed_conditions(self) -> list[Filter]:
        number = self.random.randint(0, 9)
        spelt: tuple[dict[str, object], ...] = (
            {"number": number},
            {"number": {"$gt": 2, "$lte": number}},
            {"number": {"$is_null": True}},
            {"number": {"$ne": True}},
            {"colour": self.random.choice(COLOURS)},
            {"colour": {"$contains_any": ["red", "blue"]}},
            {"colour": {"$contains_all": ["red", "green"]}},
            {"colour": []},
            {"colour": {"$prefix": "r"}},
            {"place.shelf": {"$gte": number}},
            {"place.row": {"$in": ["a", "b", number]}},
            {"$not": {"place": {"$exists": True}}},
        )
        return [parse_filter(condition) for condition in spelt]

    def read_without_an_engine(self) -> None:
        found = {
            key_of(one.tenant, one.doc_id): (dict(one.metadata), one.vector.tobytes())
            for one in OfflineReader(LocalFileSystem(), self.path).documents()
        }
        assert found == {key: (metadata, vector.tobytes()) for key, (metadata, vector) in self.model.items()}


def must(answer: Ack | KyroError) -> Ack:
    if isinstance(answer, KyroError):
        raise answer
    return answer


def public(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if not key.startswith("__")}


@pytest.mark.parametrize(
    ("seed", "tenants", "typed"),
    [
        pytest.param(4 * walk + kind, tenants, typed, id=f"{4 * walk + kind}-{named}")
        for walk in range(int(os.environ.get("KYRODB_WALKS", "1")))
        for kind, (tenants, typed, named) in enumerate(
            (
                ((None,), False, "no tenants, texts"),
                ((None,), True, "no tenants, values of all types"),
                ((None, 1, 2), False, "tenants, texts"),
                ((None, 1, 2), True, "tenants, values of all types"),
            )
        )
    ],
)
@pytest.mark.usefixtures("shared_from")
def test_merges_equal_a_dict_whatever_happens(
    tmp_path: Path, seed: int, tenants: tuple[int | None, ...], typed: bool
) -> None:
    walk = Walk(seed, tmp_path / "data", tenants, typed=typed)
    for step in range(250):
        walk.happen()
        if step % 5 == 0:
            walk.check()
    walk.check()
    walk.engine.close()
    walk.read_without_an_engine()
    assert read_manifest(LocalFileSystem(), walk.path).format == 3


def test_a_log_of_merges_is_recovered_piece_by_piece(tmp_path: Path) -> None:
    """Each piece is sealed before the next, so merges are into rows that were sealed just now."""
    seeded, rows = random.Random(5), vectors(20)
    model: dict[int, dict[str, str]] = {}
    engine = open_small(tmp_path / "data")
    for step in range(600):
        doc_id = seeded.randrange(len(rows))
        if doc_id not in model or step % 97 == 0:
            model[doc_id] = {f"key{at}": f"{step} {at} ".ljust(200, "x") for at in range(60)}
            engine.write(Put(Document(doc_id, rows[doc_id], dict(model[doc_id]))))
        elif step % 31 == 0:
            del model[doc_id]
            engine.write(Delete(doc_id))
        else:
            changes = {f"key{seeded.randrange(70)}": f"{step}".ljust(seeded.choice((1, 3000)), "y")}
            model[doc_id] |= changes
            engine.write(UpdateMetadata(doc_id, changes, merge=True))
    engine.close()

    for hot_bytes_max in (256 << 10, 4 << 20):
        engine = open_small(tmp_path / "data", hot_bytes_max=hot_bytes_max)
        segments = len(engine._context.state.version.cold)
        assert segments > 3
        assert {at: found.metadata for at in range(len(rows)) if (found := engine.get(at))} == model
        for doc_id, metadata in model.items():
            for key in ("key3", "key65"):
                if key in metadata:
                    assert doc_id in nearest(engine, rows[doc_id], 20, filter=Exact(key, metadata[key]))
        engine.close()
    assert {
        one.doc_id: dict(one.metadata)
        for one in OfflineReader(LocalFileSystem(), tmp_path / "data").documents()
    } == model
