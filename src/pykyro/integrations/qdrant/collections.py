"""The calls that make, describe and remove collections and their aliases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import pykyro
from pykyro.integrations.qdrant.database import DISTANCES, DatabaseOfClient, check_others
from pykyro.integrations.qdrant.errors import NotSupported, UnexpectedResponse, qdrant_errors
from pykyro.integrations.qdrant.models import (
    AliasDescription,
    CollectionConfig,
    CollectionDescription,
    CollectionInfo,
    CollectionParams,
    CollectionsAliasesResponse,
    CollectionsResponse,
    CollectionStatus,
    Distance,
    HnswConfigDiff,
    UpdateResult,
    UpdateStatus,
    VectorParams,
)

_OF_THE_SERVER = (
    "optimizers_config",
    "wal_config",
    "quantization_config",
    "on_disk_payload",
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
)
"""What tunes Qdrant's own files and clusters: accepted, without an effect."""


class CollectionCalls(DatabaseOfClient):
    """The calls of a client about collections. At a server with keys, those that change one take an admin's key."""

    def create_collection(
        self, collection_name: str, vectors_config: Any = None, hnsw_config: Any = None, **others: Any
    ) -> bool:
        """Make a collection for points of one vector without a name. Raises UnexpectedResponse (409) when the name is
        taken, NotSupported for named, sparse or several vectors and the distance Manhattan."""
        check_others(
            "create_collection", {name: given for name, given in others.items() if name not in _OF_THE_SERVER}
        )
        params = _checked_params(vectors_config)
        distance = str(getattr(params.distance, "value", params.distance))
        if distance not in DISTANCES:
            raise NotSupported(f"the distance {distance}: there are {', '.join(DISTANCES)}")
        graph: dict[str, Any] = {}
        for given in (hnsw_config, getattr(params, "hnsw_config", None)):
            for theirs, ours in (("m", "m"), ("ef_construct", "ef_construction")):
                if getattr(given, theirs, None):
                    graph[ours] = getattr(given, theirs)
        with qdrant_errors(collection_name):
            self._database.create_collection(
                collection_name, params.size, DISTANCES[distance], id_type="text", **graph
            )
        return True

    def recreate_collection(
        self, collection_name: str, vectors_config: Any = None, hnsw_config: Any = None, **others: Any
    ) -> bool:
        """Remove a collection if it is there, and make it anew."""
        _checked_params(vectors_config)
        self.delete_collection(collection_name)
        return self.create_collection(collection_name, vectors_config, hnsw_config, **others)

    def delete_collection(self, collection_name: str, **others: Any) -> bool:
        """Remove a collection with all its points; False when there was none."""
        check_others("delete_collection", others)
        with qdrant_errors(collection_name):
            try:
                self._database.drop_collection(collection_name)
            except pykyro.NotFound:
                return False
        return True

    def collection_exists(self, collection_name: str, **others: Any) -> bool:
        """Whether there is a collection, or an alias, of this name."""
        check_others("collection_exists", others)
        try:
            self._database.describe_collection(collection_name)
        except (pykyro.NotFound, pykyro.InvalidArgument):
            return False
        return True

    def get_collections(self, **others: Any) -> CollectionsResponse:
        """The names of the collections whose ids are text, as those are that are made here."""
        check_others("get_collections", others)
        names = [info.name for info in self._database.collections() if info.config.id_type == "text"]
        return CollectionsResponse(collections=[CollectionDescription(name=name) for name in names])

    def get_collection(self, collection_name: str, **others: Any) -> CollectionInfo:
        """A collection as it is. Raises UnexpectedResponse (404)."""
        check_others("get_collection", others)
        self._points(collection_name)
        info = self._database.describe_collection(collection_name)
        words = {ours: theirs for theirs, ours in DISTANCES.items()}
        params = VectorParams(size=info.config.dimension, distance=Distance(words[info.config.metric.value]))
        healthy = self._database.health().status != "unhealthy" and not info.trouble
        return CollectionInfo(
            status=CollectionStatus.GREEN if healthy else CollectionStatus.RED,
            points_count=info.documents or 0,
            indexed_vectors_count=info.documents or 0,
            config=CollectionConfig(
                params=CollectionParams(vectors=params),
                hnsw_config=HnswConfigDiff(m=info.config.m, ef_construct=info.config.ef_construction),
            ),
        )

    def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: Any = None, **others: Any
    ) -> UpdateResult:
        """Nothing is left to do: every key is indexed. Raises UnexpectedResponse (404) without the collection."""
        check_others("create_payload_index", {**others, "field_type": None})
        self._points(collection_name)
        return UpdateResult(operation_id=0, status=UpdateStatus.COMPLETED)

    def delete_payload_index(self, collection_name: str, field_name: str, **others: Any) -> UpdateResult:
        """Nothing is done: every key stays indexed."""
        return self.create_payload_index(collection_name, field_name, **others)

    # --- aliases ---

    def update_collection_aliases(self, change_aliases_operations: Iterable[Any], **others: Any) -> bool:
        """Set and remove aliases by CreateAliasOperation and DeleteAliasOperation, one after the other."""
        check_others("update_collection_aliases", others)
        for one in change_aliases_operations:
            if hasattr(one, "create_alias"):
                said = one.create_alias
                with qdrant_errors(said.collection_name):
                    self._database.set_alias(said.alias_name, said.collection_name)
            elif hasattr(one, "delete_alias"):
                self._database.remove_alias(one.delete_alias.alias_name)
            else:
                raise NotSupported(f"{type(one).__name__}: create the new alias, and delete the old one")
        return True

    def get_aliases(self, **others: Any) -> CollectionsAliasesResponse:
        """All aliases."""
        check_others("get_aliases", others)
        return _aliases(self._database.collections())

    def get_collection_aliases(self, collection_name: str, **others: Any) -> CollectionsAliasesResponse:
        """The aliases of a collection."""
        check_others("get_collection_aliases", others)
        with qdrant_errors(collection_name):
            return _aliases([self._database.describe_collection(collection_name)])

    # --- what is not here ---

    def query_points_groups(self, *given: Any, **named: Any) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("query_points_groups: ask for more points by query_points, and group them")

    def batch_update_points(self, *given: Any, **named: Any) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("batch_update_points: call upsert, delete and the others one after the other")

    def update_collection(self, *given: Any, **named: Any) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported(
            "update_collection: pykyro's own update_collection changes ef_search and default_ttl"
        )

    def delete_vectors(self, *given: Any, **named: Any) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("delete_vectors: every point has its vector; delete the point")

    def create_snapshot(self, *given: Any, **named: Any) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("create_snapshot: use kyrodb_backup (docs/BACKUP_AND_RECOVERY.md)")


def _checked_params(given: Any) -> Any:
    if isinstance(given, Mapping):
        raise NotSupported(
            f"named vectors ({', '.join(map(repr, given))}): a point has one vector here; make a collection for each "
            "name, with the same ids"
        )
    if given is None or not hasattr(given, "distance"):
        raise UnexpectedResponse(400, "vectors_config must be VectorParams(size=…, distance=…)")
    if getattr(given, "multivector_config", None) is not None:
        raise NotSupported("several vectors of one point: store each as a point of its own")
    return given


def _aliases(infos: Iterable[pykyro.CollectionInfo]) -> CollectionsAliasesResponse:
    return CollectionsAliasesResponse(
        aliases=[
            AliasDescription(alias_name=alias, collection_name=info.name)
            for info in infos
            for alias in info.aliases
        ]
    )
