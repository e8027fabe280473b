"""The criteria of a search and of a bulk deletion, from the arguments of a Python caller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from pykyro.model.arguments import Schema, VectorLike, checked_integer, checked_namespace, checked_vector
from pykyro.model.arrangement import checked_arrangement
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import Anything, Filter, names_a_condition
from pykyro.model.legs import NO_VECTOR, Legs, checked_legs, stand_in
from pykyro.model.requests import SearchRequest, check_search
from pykyro.model.types import Scope


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Everything a search asks but its vector."""

    k: int
    filter: Filter | None
    scope: Scope
    ef_search: int
    min_score: float
    exact: bool
    include_vectors: bool
    include_metadata: bool
    include_positions: bool = False
    legs: Legs | None = None

    def ask(self, vector: VectorLike | None, field: str, schema: Schema | None) -> SearchRequest:
        """The query for this vector, or for none but what `legs` says; `field` is its name in messages."""
        if vector is None and self.legs is not None and not self.legs.by_vector:
            checked = NO_VECTOR if schema is None else stand_in(schema.dimension)
        else:
            # None without a text is refused as whatever else is no vector.
            checked = checked_vector(cast(VectorLike, vector), field, schema)
        return SearchRequest(
            vector=checked,
            k=self.k,
            ef_search=self.ef_search,
            filter=self.filter,
            scope=self.scope,
            min_score=self.min_score,
            exact=self.exact,
            include_vectors=self.include_vectors,
            include_metadata=self.include_metadata,
            include_positions=self.include_positions,
            legs=self.legs,
        )

    def with_legs(
        self,
        vector: object,
        text: object,
        fuse: object,
        depth: object,
        highlight: object,
        explain: object,
        group_by: object = None,
        group_size: object = 0,
        mmr: object = None,
    ) -> SearchOptions:
        """The same, by words too, if a text is given, and arranged as is said. Raises InvalidArgument."""
        arrangement = None
        if group_by is not None or group_size != 0 or mmr is not None:
            arrangement = checked_arrangement(group_by, group_size, mmr, self.k)
        legs = checked_legs(
            text,
            by_vector=vector is not None,
            fuse=fuse,
            depth=depth,
            highlight=highlight,
            explain=explain,
            arrangement=arrangement,
        )
        return self if legs is None else replace(self, legs=legs)

    def ask_each(self, vectors: Iterable[VectorLike], schema: Schema | None) -> list[SearchRequest]:
        """`ask` for each of `vectors`; messages say which of them is wrong."""
        if not isinstance(vectors, Iterable):
            raise InvalidArgument(
                f"vectors must be a list of vectors, got {type(vectors).__name__}", field="vectors"
            )
        return [self.ask(vector, f"vectors[{at}]", schema) for at, vector in enumerate(vectors)]


def search_options(
    k: int,
    filter: Filter | None,
    namespace: str,
    ef_search: int,
    min_score: float,
    exact: bool,
    include_vectors: bool,
    include_metadata: bool,
    include_positions: bool = False,
) -> SearchOptions:
    """These arguments of a search, checked."""
    if isinstance(min_score, bool) or not isinstance(min_score, (int, float, np.integer, np.floating)):
        raise InvalidArgument(
            f"min_score must be a number, got {type(min_score).__name__}", field="min_score"
        )
    k, ef_search = checked_integer(k, "k"), checked_integer(ef_search, "ef_search")
    check_search(k, ef_search, float(min_score))
    return SearchOptions(
        k=k,
        filter=None if isinstance(filter, Anything) else filter,
        scope=Scope(namespace=checked_namespace(namespace)),
        ef_search=ef_search,
        min_score=float(min_score),
        exact=bool(exact),
        include_vectors=bool(include_vectors),
        include_metadata=bool(include_metadata),
        include_positions=bool(include_positions),
    )


def check_one_criterion(ids: object, filter: object) -> None:
    """Refuse a deletion with neither ids nor filter, or with both."""
    if (ids is None) == (filter is None):
        raise InvalidArgument(f"give ids or filter, got {'neither' if ids is None else 'both'}", field="ids")


def check_deletion_filter(filter: Filter) -> None:
    """Refuse a filter that a program sends which forgot to fill it in."""
    if not names_a_condition(filter):
        raise InvalidArgument(
            "filter names no condition, so it would delete every document in scope or none", field="filter"
        )
