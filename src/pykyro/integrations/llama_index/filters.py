"""LlamaIndex's metadata filters as filters of the database: every operator and condition, nested or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

import pykyro
from pykyro.integrations.llama_index.nodes import SOURCE_KEY

Filter: TypeAlias = dict[str, Any]

_ID_KEY: Final = "__id__"
"""What filters call the id of a document."""


def filter_of(
    filters: MetadataFilters | None,
    node_ids: Sequence[str] | None = None,
    doc_ids: Sequence[str] | None = None,
) -> Filter | None:
    """The filter for what matches `filters`, has one of `node_ids` and is of one of the documents `doc_ids`; what is
    None is not asked for. None for all nodes. Raises InvalidArgument."""
    parts = [] if filters is None or not filters.filters else [_all(filters)]
    if node_ids is not None:
        parts.append({_ID_KEY: {"$in": list(node_ids)}})
    if doc_ids is not None:
        parts.append({SOURCE_KEY: {"$in": list(doc_ids)}})
    return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None


def _all(filters: MetadataFilters) -> Filter:
    parts = [_all(one) if isinstance(one, MetadataFilters) else _one(one) for one in filters.filters]
    match filters.condition:
        case FilterCondition.OR:
            return {"$or": parts}
        case FilterCondition.NOT:
            # LlamaIndex has it match when none of the filters does.
            return {"$not": {"$or": parts}}
        case _:
            return {"$and": parts}


def _one(condition: MetadataFilter) -> Filter:
    key, operator = condition.key, condition.operator
    if operator == FilterOperator.IS_EMPTY:
        empty: tuple[Any, ...] = (None, "", [])
        return {"$or": [{key: {"$exists": False}}, *({key: {"$eq": value}} for value in empty)]}
    if operator not in _OPERATORS:
        raise pykyro.InvalidArgument(
            f"filter.{key} has an operator that this store does not know: {operator!r}", field=f"filter.{key}"
        )
    return {key: {_OPERATORS[operator]: condition.value}}


_OPERATORS: Final[Mapping[FilterOperator, str]] = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.ANY: "$contains_any",
    FilterOperator.ALL: "$contains_all",
    # A list is equal to a value when one of its elements is.
    FilterOperator.CONTAINS: "$eq",
    FilterOperator.TEXT_MATCH: "$contains",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "$icontains",
}
