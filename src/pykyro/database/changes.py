"""Changes of a catalogue, as values: the old one stays as it is."""

from __future__ import annotations

from pykyro.storage.catalogue import Catalogue, CatalogueEntry


def by_number(catalogue: Catalogue) -> dict[int, CatalogueEntry]:
    """Its collections by their numbers."""
    return {entry.number: entry for entry in catalogue.collections.values()}


def with_collection(catalogue: Catalogue, name: str, entry: CatalogueEntry) -> Catalogue:
    """One collection more, or another entry for one."""
    return catalogue.model_copy(update={"collections": {**catalogue.collections, name: entry}})


def renamed(catalogue: Catalogue, name: str, new_name: str) -> Catalogue:
    """Aliases stand for numbers, so they stay."""
    others = {key: entry for key, entry in catalogue.collections.items() if key != name}
    return catalogue.model_copy(update={"collections": {**others, new_name: catalogue.collections[name]}})


def without_collection(catalogue: Catalogue, name: str) -> Catalogue:
    """Neither the collection nor its aliases."""
    number = catalogue.collections[name].number
    return catalogue.model_copy(
        update={
            "collections": {key: entry for key, entry in catalogue.collections.items() if key != name},
            "aliases": {key: each for key, each in catalogue.aliases.items() if each != number},
        }
    )


def with_alias(catalogue: Catalogue, alias: str, number: int) -> Catalogue:
    """An alias for a collection, whatever it stood for before."""
    return catalogue.model_copy(update={"aliases": {**catalogue.aliases, alias: number}})


def without_alias(catalogue: Catalogue, alias: str) -> Catalogue:
    return catalogue.model_copy(
        update={"aliases": {key: each for key, each in catalogue.aliases.items() if key != alias}}
    )


def with_cold_tier(catalogue: Catalogue, number: int, cold_tier: str) -> Catalogue:
    """The sealed documents of a collection are elsewhere now."""
    changed = {
        name: entry.model_copy(update={"cold_tier": cold_tier}) if entry.number == number else entry
        for name, entry in catalogue.collections.items()
    }
    return catalogue.model_copy(update={"collections": changed})
