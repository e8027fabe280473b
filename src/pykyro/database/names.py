"""Names of collections in a catalogue, and the errors about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pykyro.model.collection import (
    DEFAULT,
    DEFAULT_NUMBER,
    CollectionConfig,
    checked_collection_name,
    not_found,
)
from pykyro.model.errors import AlreadyExists, InvalidArgument
from pykyro.model.words import shown_words
from pykyro.storage.catalogue import Catalogue, CatalogueEntry

TAKEN: Final = "the name {!r} is taken; drop or rename what has it first, or allow it with exist_ok"


def number_of(catalogue: Catalogue, name: str) -> int:
    """The number of the collection that is called `name` or has this alias; "" is `default`. Raises InvalidArgument,
    NotFound."""
    if not name or name == DEFAULT:
        return DEFAULT_NUMBER
    entry = catalogue.collections.get(name)
    if entry is not None:
        return entry.number
    number = catalogue.aliases.get(name)
    if number is None:
        raise not_found(checked_collection_name(name), all_names(catalogue))
    return number


def taken_by(catalogue: Catalogue, name: str) -> int | None:
    """The number of what has this name already."""
    if name == DEFAULT:
        return DEFAULT_NUMBER
    entry = catalogue.collections.get(name)
    return entry.number if entry is not None else catalogue.aliases.get(name)


def name_of(catalogue: Catalogue, number: int) -> str:
    """The name of the collection with this number."""
    return next((name for name, entry in catalogue.collections.items() if entry.number == number), DEFAULT)


def own_entry(catalogue: Catalogue, name: str, done: str) -> CatalogueEntry:
    """The entry of a collection that is called `name` itself, to be `done`. Raises InvalidArgument, NotFound."""
    if name == DEFAULT:
        raise InvalidArgument(f"the collection {DEFAULT!r} cannot be {done}", field="name")
    entry = catalogue.collections.get(checked_collection_name(name, "name"))
    if entry is None and name in catalogue.aliases:
        raise InvalidArgument(
            f"{name!r} is an alias, and only a collection can be {done}: name the collection itself",
            field="name",
        )
    if entry is None:
        raise not_found(name, all_names(catalogue))
    return entry


def check_same(name: str, known: CollectionConfig, asked: CollectionConfig, *, exist_ok: bool) -> None:
    """Whether a collection that is there may stand for one that is to be created. Raises AlreadyExists,
    InvalidArgument."""
    if not exist_ok:
        raise AlreadyExists(TAKEN.format(name))
    if (known.dimension, known.metric) != (asked.dimension, asked.metric):
        raise InvalidArgument(
            f"collection {name!r} has dimension {known.dimension} and distance {known.metric.value}; asked for "
            f"dimension {asked.dimension} and distance {asked.metric.value}",
            field="dimension",
        )
    if known.id_type != asked.id_type:
        raise InvalidArgument(
            f"collection {name!r} has ids of type {known.id_type}; asked for {asked.id_type}: use it as it is, or "
            "choose another name",
            field="id_type",
        )
    if known.cold_tier != asked.cold_tier:
        raise InvalidArgument(
            f"the cold tier of collection {name!r} is {known.cold_tier}; asked for {asked.cold_tier}: use it as it "
            "is, or choose another name",
            field="cold_tier",
        )
    if asked.words is not None and known.words != asked.words:
        raise InvalidArgument(
            f"collection {name!r} has {shown_words(known.words)}; asked for {shown_words(asked.words)}: they cannot "
            "change. Use it as it is, or create another one and copy the documents",
            field="text",
        )


def all_names(catalogue: Catalogue) -> Iterator[str]:
    """Whatever can be named."""
    yield DEFAULT
    yield from catalogue.collections
    yield from catalogue.aliases
