"""Models of collections and their aliases."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pykyro.integrations.qdrant.model_values import CollectionStatus, Distance, Given


class HnswConfigDiff(BaseModel):
    """Of the graph: m, ef_construct; others have no effect."""

    model_config = ConfigDict(extra="allow")
    m: int | None = None
    ef_construct: int | None = None


class VectorParams(BaseModel):
    """Of the vectors: size, distance, hnsw_config; others have no effect."""

    model_config = ConfigDict(extra="allow")
    size: int
    distance: Distance
    hnsw_config: HnswConfigDiff | None = None


class OptimizersConfigDiff(BaseModel):
    """Accepted, without an effect."""

    model_config = ConfigDict(extra="allow")


class CollectionParams(BaseModel):
    """What a collection was made with."""

    vectors: VectorParams


class CollectionConfig(BaseModel):
    """What a collection was made with."""

    params: CollectionParams
    hnsw_config: HnswConfigDiff


class CollectionInfo(BaseModel):
    """A collection as it is."""

    status: CollectionStatus
    optimizer_status: str = "ok"
    points_count: int
    indexed_vectors_count: int
    segments_count: int = 1
    config: CollectionConfig
    payload_schema: dict[str, Any] = Field(default_factory=dict)


class CollectionDescription(BaseModel):
    """The name of a collection."""

    name: str


class CollectionsResponse(BaseModel):
    """All collections."""

    collections: list[CollectionDescription]


class CreateAlias(Given):
    """A name for a collection beside its own."""

    collection_name: str
    alias_name: str


class CreateAliasOperation(Given):
    """Of update_collection_aliases."""

    create_alias: CreateAlias


class DeleteAlias(Given):
    """The name that goes."""

    alias_name: str


class DeleteAliasOperation(Given):
    """Of update_collection_aliases."""

    delete_alias: DeleteAlias


class AliasDescription(BaseModel):
    """An alias and what it stands for."""

    alias_name: str
    collection_name: str


class CollectionsAliasesResponse(BaseModel):
    """Aliases."""

    aliases: list[AliasDescription]
