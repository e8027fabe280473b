"""A table of LlamaIndex's operators and conditions, and which nodes each finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from pykyro.llama_index import KyroVectorStore

METADATA: dict[str, dict[str, Any]] = {
    "a": {"year": 2020, "price": 1.5, "name": "Red Wine", "tags": ["x", "y"], "sizes": [1, 2]},
    "b": {"year": 2021, "price": 2.0, "name": "white wine", "tags": ["y"], "sizes": []},
    "c": {"year": 2022, "name": "Beer", "tags": None},
    "d": {"name": "", "year": 2020.0},
}


def one(key: str, operator: str, value: Any) -> MetadataFilter:
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def some(condition: str, *filters: MetadataFilter | MetadataFilters) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=FilterCondition(condition))


TABLE: list[tuple[MetadataFilter | MetadataFilters, str]] = [
    (one("name", "==", "Beer"), "c"),
    (one("year", "==", 2020), "ad"),
    (one("price", "==", 2), "b"),
    (one("year", "==", "2020"), ""),
    (one("tags", "==", None), "c"),
    (one("year", "!=", 2020), "bc"),
    (one("price", "!=", 1.5), "bcd"),
    (one("year", ">", 2020), "bc"),
    (one("name", ">", "Red Wine"), "b"),
    (one("year", "<", 2021), "ad"),
    (one("price", ">=", 1.5), "ab"),
    (one("year", ">=", 2021), "bc"),
    (one("year", "<=", 2020), "ad"),
    (one("price", "<=", 1.5), "a"),
    (one("name", "in", ["Beer", "Red Wine"]), "ac"),
    (one("year", "in", [2021, 2022]), "bc"),
    (one("year", "nin", [2021, 2022]), "ad"),
    (one("name", "nin", ["Beer"]), "abd"),
    (one("tags", "any", ["x", "z"]), "a"),
    (one("sizes", "any", [2, 3]), "a"),
    (one("tags", "all", ["x", "y"]), "a"),
    (one("tags", "all", ["y"]), "ab"),
    (one("tags", "contains", "y"), "ab"),
    (one("sizes", "contains", 1), "a"),
    (one("name", "text_match", "Wine"), "a"),
    (one("name", "text_match_insensitive", "WINE"), "ab"),
    (one("sizes", "is_empty", None), "bcd"),
    (one("name", "is_empty", None), "d"),
    (some("and", one("year", ">=", 2020), one("price", "<", 2)), "a"),
    (some("or", one("year", ">", 2021), one("price", "<", 2)), "ac"),
    (some("not", one("year", ">", 2021), one("price", "<", 2)), "bd"),
    (some("and", one("year", "<", 2022), some("or", one("tags", "any", ["x"]), one("name", "==", ""))), "ad"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KyroVectorStore]:
    """A store of nodes with METADATA."""
    store = KyroVectorStore(path=tmp_path_factory.mktemp("filters") / "data")
    store.add(
        [TextNode(id_=name, text="", embedding=[1.0], metadata=kept) for name, kept in METADATA.items()]
    )
    yield store
    store.close()


def test_the_table_is_whole() -> None:
    assert len(TABLE) == 32
    operators = {row.operator for row, _ in TABLE if isinstance(row, MetadataFilter)}
    conditions = {row.condition for row, _ in TABLE if isinstance(row, MetadataFilters)}
    assert (operators, conditions) == (set(FilterOperator), set(FilterCondition))


@pytest.mark.parametrize(("asked", "expected"), TABLE, ids=lambda value: repr(value)[:70])
def test_a_filter_finds(
    store: KyroVectorStore, asked: MetadataFilter | MetadataFilters, expected: str
) -> None:
    filters = asked if isinstance(asked, MetadataFilters) else MetadataFilters(filters=[asked])
    assert "".join(sorted(node.node_id for node in store.get_nodes(filters=filters))) == expected
