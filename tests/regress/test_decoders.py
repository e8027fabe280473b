"""Decoders: the kept corpus and a few thousand mutations of it, and what fuzzing found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz.mutate import mutated
from fuzz.run import corpus_of
from fuzz.targets import TARGETS
from tests.crash.fault_filesystem import FaultFS

from pykyro.model.errors import DataDamaged
from pykyro.storage.files.checksum import digest
from pykyro.storage.legacy_tenants import read_legacy_tenants
from pykyro.tenancy.usage_file import decode_counts


@pytest.mark.parametrize("target", list(TARGETS))
def test_nothing_escapes_from_a_decoder(target: str) -> None:
    corpus, rng = corpus_of(target), random.Random(target)
    inputs = [*corpus, *(mutated(rng, corpus) for _ in range(100 if target == "config" else 600))]
    for data in inputs:
        TARGETS[target](data)


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b"[" * 100_000, b'{"a": 3}', b'{"a": [1, 2, -3]}'])
def test_usage_file_with_the_right_digest_and_another_content_is_refused(body: bytes) -> None:
    """Only an object was expected behind a right digest, and anything else raised AttributeError."""
    with pytest.raises(ValueError):
        decode_counts(b"KYRODB-USAGE 1 " + digest(body).encode() + b"\n" + body)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"\xff", b'{"a": 1, "b": 1}', b'{"a": true}'])
def test_legacy_tenant_map_of_any_content_is_damage(content: bytes) -> None:
    """Deep nesting raised RecursionError."""
    disk = FaultFS()
    file = disk.create(Path("/tenants.json"))
    file.write(content)
    with pytest.raises(DataDamaged):
        read_legacy_tenants(disk, Path("/"))
