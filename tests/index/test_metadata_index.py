"""Both metadata indices give exactly the rows that the reference evaluator gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.metadata_cases import AWKWARD, filters, metadata

from kyrodb.index.filter import And, Anything, Exact, Filter, In, Not, Range, matches
from kyrodb.index.metadata_index import FrozenMetadataIndex, MutableMetadataIndex, build_sections

Metadata = Mapping[str, str]
documents = st.lists(metadata, max_size=30)
questions = st.lists(filters, min_size=1, max_size=6)


def frozen(rows: Sequence[Metadata]) -> FrozenMetadataIndex:
    return FrozenMetadataIndex(build_sections(iter(rows), len(rows)), len(rows))


def mutable(rows: Sequence[Metadata]) -> MutableMetadataIndex:
    index = MutableMetadataIndex()
    for row, entries in enumerate(rows):
        index.add(row, entries)
    return index


def expected(rows: Sequence[Metadata], condition: Filter) -> list[int]:
    return [row for row, entries in enumerate(rows) if matches(condition, entries)]


@given(documents, questions)
def test_the_frozen_index_agrees_with_the_definition(rows: list[Metadata], conditions: list[Filter]) -> None:
    index = frozen(rows)
    for condition in conditions * 2:  # the second time from its memory
        assert list(index.match(condition)) == expected(rows, condition)
