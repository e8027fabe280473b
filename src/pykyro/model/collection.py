"""What a collection is: a name, and what all its documents have in common.

The directory of a database is its collection `default`, which is always there. The others are named by whoever
creates them; an alias is one more name, and can be set to another collection at one stroke.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Final, Literal, TypeAlias

from pykyro.model.arguments import bounded_integer
from pykyro.model.cold_tier import LOCAL, ColdTier, checked_cold_tier
from pykyro.model.errors import InvalidArgument, NotFound
from pykyro.model.expiry import checked_default_ttl
from pykyro.model.limits import (
    COLLECTION_NAME_CHARS_MAX,
    DIMENSION_MAX,
    EF_CONSTRUCTION_MAX,
    EF_SEARCH_MAX,
    HNSW_M_MAX,
    HNSW_M_MIN,
)
from pykyro.model.text_ids import ID_TYPES, INTEGER
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig, checked_words

DEFAULT: Final = "default"
DEFAULT_NUMBER: Final = 0
Distance: TypeAlias = Literal["cosine", "euclidean", "innerproduct"]
"""The distances by name, for hints; pykyro.model.types.Metric has them."""
IdType: TypeAlias = Literal["integer", "text"]
"""The types of ids by name, for hints; pykyro.model.text_ids has them."""
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.\-]{{0,{COLLECTION_NAME_CHARS_MAX - 1}}}")


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """What is said when a collection is created. `ef_search` and `default_ttl` can change later."""

    dimension: int
    metric: Metric = Metric.COSINE
    m: int = 16
    ef_construction: int = 200
    ef_search: int = 50
    id_type: str = INTEGER
    """See pykyro.model.text_ids."""
    default_ttl_us: int = 0
    """Microseconds after which documents go that are stored without an expiry; 0: they stay."""
    cold_tier: str = LOCAL
    """Where sealed documents are, see pykyro.model.cold_tier."""
    words: WordsConfig | None = None
    """How the words of documents are found; None where none are kept."""

    @property
    def default_ttl(self) -> timedelta | None:
        """The same, None for 0."""
        return timedelta(microseconds=self.default_ttl_us) if self.default_ttl_us else None


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as it is now. `documents`, `hot_documents` and `size_bytes` are None where a closed collection
    would have to be opened to know them, and that was not asked for."""

    name: str
    config: CollectionConfig
    aliases: tuple[str, ...] = ()
    created_us: int = 0
    """Microseconds since the Unix epoch; 0 for `default`."""
    documents: int | None = None
    size_bytes: int | None = None
    """Of its files on disk."""
    is_open: bool = False
    trouble: str = ""
    """Why it could not be opened or kept when that was last tried; empty while all is well."""


@dataclass(frozen=True, slots=True)
class CollectionChanges:
    """What is to change of a collection; None stays as it is, and a `default_ttl_us` of 0 is none."""

    ef_search: int | None = None
    default_ttl_us: int | None = None

    @property
    def values(self) -> dict[str, int]:
        """What changes."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def refusal_for_default(self) -> InvalidArgument:
        name = "default_ttl" if self.ef_search is None else "ef_search"
        key = "metadata.default_ttl_secs" if self.ef_search is None else "hnsw.ef_search"
        return InvalidArgument(
            f"{name} of the collection {DEFAULT!r} is said where the database is opened: {key} of the server's "
            f"configuration, {name} of pykyro.open",
            field=name,
        )


def checked_changes(ef_search: object = None, default_ttl: object = None) -> CollectionChanges:
    """The changes that these arguments name. Raises InvalidArgument."""
    if ef_search is None and default_ttl is None:
        raise InvalidArgument(
            "nothing to change is named: set ef_search or default_ttl (math.inf for none)", field="ef_search"
        )
    return CollectionChanges(
        None if ef_search is None else checked_ef_search(ef_search),
        None if default_ttl is None else checked_default_ttl(default_ttl),
    )


def checked_collection_name(name: object, field: str = "collection") -> str:
    """`name` itself, when a collection or an alias can be called so."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidArgument(
        f"{field} must be 1 to {COLLECTION_NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ - . beginning with a "
        f"letter or digit, got {name!r:.200}",
        field=field,
    )


def checked_config(
    dimension: object,
    distance: object = Metric.COSINE.value,
    *,
    m: object = 16,
    ef_construction: object = 200,
    ef_search: object = 50,
    id_type: object = "integer",
    default_ttl: object = None,
    cold_tier: object = LOCAL,
    text: object = None,
) -> CollectionConfig:
    """The configuration of a collection, from arguments. Raises InvalidArgument naming the bad one."""
    metrics = [metric.value for metric in Metric]
    if distance not in metrics:
        raise InvalidArgument(
            f"distance must be one of {', '.join(metrics)}, got {distance!r:.100}", field="distance"
        )
    if id_type not in ID_TYPES:
        raise InvalidArgument(
            f"id_type must be one of {', '.join(ID_TYPES)}, got {id_type!r:.100}", field="id_type"
        )
    tier, words = checked_cold_tier(cold_tier), checked_words(text)
    require_words_here(tier, words)
    return CollectionConfig(
        bounded_integer(dimension, "dimension", 1, DIMENSION_MAX),
        Metric(distance),
        bounded_integer(m, "m", HNSW_M_MIN, HNSW_M_MAX),
        bounded_integer(ef_construction, "ef_construction", 1, EF_CONSTRUCTION_MAX),
        checked_ef_search(ef_search),
        str(id_type),
        checked_default_ttl(default_ttl),
        str(tier),
        words,
    )


def require_words_here(tier: ColdTier, words: WordsConfig | None) -> None:
    """Raises InvalidArgument when words are to be kept of documents that are sealed elsewhere."""
    if words is not None and tier.engine != LOCAL:
        raise InvalidArgument(
            f"text: words are kept in segments, and with cold_tier {tier} sealed documents are in none; leave text "
            "out, or use cold_tier='local'",
            field="text",
        )


def checked_ef_search(ef_search: object) -> int:
    """`ef_search` as an int a collection can have for its own."""
    return bounded_integer(ef_search, "ef_search", 1, EF_SEARCH_MAX)


def not_found(name: str, known: Iterable[str]) -> NotFound:
    """The error for a collection that does not exist, among those that do."""
    near = get_close_matches(name, list(known), n=1)
    way_out = f"the nearest name is {near[0]!r}" if near else "create it first, with create_collection"
    return NotFound(f"collection {name!r} does not exist; {way_out}")
