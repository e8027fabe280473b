"""A collection of Milvus, at a server or in a file of Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pykyro
from pykyro.integrations.extras import needs_extra
from pykyro.integrations.transfers.source import PAGE, Source, SourceRow, chosen_column, row_of

_DISTANCES: Final = {"COSINE": "cosine", "L2": "euclidean", "IP": "innerproduct"}
_VECTORS: Final = ("FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR")


def milvus_source(uri: str, name: str, token: str, vector_column: str | None) -> Source:
    """The entities of a collection. Raises InvalidArgument, FailedPrecondition."""
    try:
        with needs_extra("import-milvus", "pymilvus"):
            import pymilvus
    except ModuleNotFoundError as error:
        raise pykyro.FailedPrecondition(str(error)) from error
    try:
        client: Any = pymilvus.MilvusClient(uri, token=token)
        if not client.has_collection(name):
            raise pykyro.InvalidArgument(
                f"Milvus {uri} has no collection {name!r}; it has {', '.join(client.list_collections()) or 'none'}",
                field="collection",
            )
        return _source(client, name, vector_column)
    except pymilvus.MilvusException as error:
        raise pykyro.FailedPrecondition(f"Milvus {uri}: {error}") from error


def _source(client: Any, name: str, vector_column: str | None) -> Source:
    client.load_collection(name)
    fields = client.describe_collection(name)["fields"]
    vectors = {one["name"]: one for one in fields if one["type"].name in _VECTORS}
    vector = chosen_column(vector_column, [*vectors], "vector", name, "vector")
    if vectors[vector]["type"].name != "FLOAT_VECTOR":
        raise pykyro.InvalidArgument(
            f"the vectors {vector!r} of {name} are of type {vectors[vector]['type'].name}; FLOAT_VECTOR can be read",
            field="vector",
        )
    primary = next(one for one in fields if one.get("is_primary"))
    metrics = {
        index["metric_type"]
        for index in (client.describe_index(name, one) for one in client.list_indexes(name))
        if index["field_name"] == vector
    }
    counted = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    return Source(
        name=name,
        dimension=int(vectors[vector]["params"]["dim"]),
        distance=_DISTANCES.get(metrics.pop()) if len(metrics) == 1 else None,
        id_type="integer" if primary["type"].name == "INT64" else "text",
        total=counted[0]["count(*)"],
        pages=_pages(client, name, primary["name"], vector),
    )


def _pages(client: Any, name: str, own_id: str, vector: str) -> Iterator[list[SourceRow]]:
    iterator = client.query_iterator(
        name, batch_size=PAGE, output_fields=["*", vector], consistency_level="Strong"
    )
    try:
        while page := iterator.next():
            yield [row_of(dict(row), own_id, vector) for row in page]
    finally:
        iterator.close()
        client.close()
