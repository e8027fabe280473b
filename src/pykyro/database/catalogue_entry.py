"""Between a collection as it is spoken of, as it stands in the catalogue, and the options of its engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pykyro.engine.options import EngineOptions
from pykyro.model.cold_tier import ColdTier, checked_cold_tier
from pykyro.model.collection import CollectionConfig
from pykyro.model.text_ids import TEXT, id_type_of
from pykyro.model.words import WordsConfig
from pykyro.storage.catalogue import CatalogueEntry
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.lock import make_directories
from pykyro.storage.manifest import WordsEntry
from pykyro.storage.recovery import create_manifest


def entry_of(config: CollectionConfig, number: int, created_us: int) -> CatalogueEntry:
    """How a new collection stands in the catalogue."""
    return CatalogueEntry(
        number=number,
        dimension=config.dimension,
        metric=config.metric,
        m=config.m,
        ef_construction=config.ef_construction,
        ef_search=config.ef_search,
        id_type=config.id_type,
        created_us=created_us,
        default_ttl_us=config.default_ttl_us,
        cold_tier=config.cold_tier,
        words=WordsEntry.of(config.words),
    )


def new_directory(filesystem: FileSystem, path: Path, entry: CatalogueEntry) -> None:
    """Make the directory of a new collection, without documents. Raises OSError."""
    make_directories(filesystem, path)
    create_manifest(
        filesystem,
        path,
        entry.dimension,
        entry.metric,
        text_ids=entry.id_type == TEXT,
        cold_tier=checked_cold_tier(entry.cold_tier),
        words=words_of(entry),
    )


def words_of(entry: CatalogueEntry) -> WordsConfig | None:
    return None if entry.words is None else entry.words.config


def config_of(entry: CatalogueEntry) -> CollectionConfig:
    return CollectionConfig(
        entry.dimension,
        entry.metric,
        entry.m,
        entry.ef_construction,
        entry.ef_search,
        entry.id_type,
        entry.default_ttl_us,
        entry.cold_tier,
        words_of(entry),
    )


def config_of_default(options: EngineOptions, ef_search: int) -> CollectionConfig:
    return CollectionConfig(
        options.dimension,
        options.metric,
        options.m,
        options.ef_construction,
        ef_search,
        id_type=id_type_of(bool(options.text_ids)),
        default_ttl_us=options.default_ttl_us,
        cold_tier=str(options.cold_tier or ColdTier()),
        words=options.words,
    )


def engine_options_of(base: EngineOptions, entry: CatalogueEntry, open_max: int) -> EngineOptions:
    """Options of the engine of a collection, of which `open_max` may be open at once: the caches of all of them
    together hold no more than those of `default` alone."""
    cache = replace(
        base.cache,
        query_bytes_max=base.cache.query_bytes_max // open_max,
        documents_max=base.cache.documents_max // open_max,
    )
    return replace(
        base,
        dimension=entry.dimension,
        metric=entry.metric,
        text_ids=entry.id_type == TEXT,
        words=words_of(entry),
        m=entry.m,
        ef_construction=entry.ef_construction,
        ef_search=entry.ef_search,
        default_ttl_us=entry.default_ttl_us,
        cold_tier=None,  # as MANIFEST has it: a move may have ended without the catalogue
        cache=cache,
    )
