"""What a collection holds, as a dict: which document a write makes of which, and which it is refused for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from pykyro.model.errors import Aborted, AlreadyExists, KyroError
from pykyro.model.filter import matches
from pykyro.model.filter_dict import parse_filter
from pykyro.model.types import Vector
from pykyro.model.value_order import facet_tokens, order_token, token_value
from pykyro.model.values import text_form

Id: TypeAlias = int | str
Filter: TypeAlias = dict[str, Any] | None


@dataclass
class Kept:
    """A document. `expires_us` is 0 when it stays; `position` that of the write that made it what it is."""

    vector: Vector
    metadata: dict[str, Any]
    namespace: str
    expires_us: int
    position: int

    @property
    def texts(self) -> dict[str, str]:
        return {key: text_form(value, key) for key, value in self.metadata.items()}


@dataclass
class Model:
    documents: dict[Id, Kept] = field(default_factory=dict)

    def reap(self, now_us: int) -> None:
        """Nothing is there that is due."""
        self.documents = {i: one for i, one in self.documents.items() if not 0 < one.expires_us <= now_us}

    def inside(self, doc_id: Id, namespace: str) -> bool:
        one = self.documents.get(doc_id)
        return one is not None and namespace in ("", one.namespace)

    def refusal(self, doc_id: Id, namespace: str, terms: Mapping[str, Any]) -> type[KyroError] | None:
        """What a write of this document under these conditions is refused with."""
        one = self.documents.get(doc_id)
        if terms.get("if_absent"):
            return None if one is None else AlreadyExists
        if not terms.keys() & {"if_position", "if_filter"}:
            return None
        if one is None or not self.inside(doc_id, namespace):
            return Aborted
        is_elsewhere = terms.get("if_position", one.position) != one.position
        condition = terms.get("if_filter")
        matches_not = condition is not None and not matches(parse_filter(condition), one.texts)
        return Aborted if is_elsewhere or matches_not else None

    def matching(self, condition: Filter, namespace: str) -> set[Id]:
        parsed = parse_filter(condition or {})
        return {
            doc_id
            for doc_id, one in self.documents.items()
            if self.inside(doc_id, namespace) and matches(parsed, one.texts)
        }

    def stands_at(self, doc_id: Id, key: str, *, descending: bool) -> str | None:
        """The token by which a listing by value has the document."""
        return order_token(self.documents[doc_id].texts, key, descending=descending)

    def by_value(self, ids: Iterable[Id], key: str, *, descending: bool) -> list[Id]:
        """In the order of a listing by value; equal ones by id."""
        places = [(self.stands_at(one, key, descending=descending), one) for one in ids]
        with_value: list[Any] = sorted(
            (place for place in places if place[0] is not None), reverse=descending
        )
        without: list[Any] = sorted((one for token, one in places if token is None), reverse=descending)
        return [one for _, one in with_value] + without

    def facets(self, ids: Iterable[Id], key: str) -> list[tuple[Any, int]]:
        counts = Counter(token for one in ids for token in facet_tokens(self.documents[one].texts, key))
        return [(token_value(token), n) for token, n in sorted(counts.items(), key=lambda e: (-e[1], e[0]))]

    def similarity(self, doc_id: Id, query: Vector) -> float:
        """The cosine, in double precision."""
        vector, wide = self.documents[doc_id].vector.astype(float), query.astype(float)
        return float(vector @ wide / np.linalg.norm(vector) / np.linalg.norm(wide))
