"""The tools: each a method whose name, arguments and docstring a language model reads.

A tool waits for its answer; the server runs each call in a thread. What pykyro refuses is said to the model in the
same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeAlias

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

import pykyro
from pykyro.integrations.mcp.json_values import from_json, to_json

DocId: TypeAlias = int | str
Json: TypeAlias = dict[str, Any]

Collection: TypeAlias = Annotated[
    str, Field(description="Name or alias of a collection; empty for the one this server was started for.")
]
Namespace: TypeAlias = Annotated[str, Field(description="See only documents in this namespace; empty: all.")]
Condition: TypeAlias = Annotated[
    Json | None,
    Field(
        description='Which documents count, by their metadata: {"source": "wiki", "year": {"$gte": 2020}}. '
        "Operators: $eq $ne $in $nin $gt $gte $lt $lte $between $contains $icontains $prefix $contains_any "
        '$contains_all $is_null $exists $not; combine with "$and", "$or", "$not". A key may be a path: '
        '"author.name". Times are {"$time": "2020-01-31T12:00:00Z"}.'
    ),
]
WithVectors: TypeAlias = Annotated[bool, Field(description="Also return the vectors, which are long.")]
Count: TypeAlias = Annotated[int, Field(ge=1, le=1000)]


class NewDocument(BaseModel):
    """A document to store."""

    id: DocId
    vector: list[float]
    metadata: Json = {}


@contextmanager
def _told() -> Iterator[None]:
    """Inside, what pykyro refuses becomes an error that the model reads."""
    try:
        yield
    except pykyro.KyroError as error:
        raise ToolError(f"{type(error).__name__}: {error}") from error


class ReadTools:
    """What looks at documents and changes nothing."""

    def __init__(self, database: pykyro.Database | pykyro.Client, collection: str) -> None:
        """Tools that are told no collection use `collection`."""
        self._database: Final = database
        self._default: Final = collection

    def list_collections(self) -> Json:
        """List all collections: name, dimension of the vectors, distance, type of ids, aliases, keys of metadata
        whose words search_text finds, and number of documents, null where it is not known without opening the
        collection."""
        with _told():
            return {"collections": [_about(info) for info in self._database.collections()]}

    def health(self) -> Json:
        """Whether the database is well: "healthy", "degraded", "unhealthy" or "unknown", and each part in words."""
        with _told():
            health = self._database.health()
        return {"status": health.status, "components": health.components, "version": health.version}

    def search(
        self,
        vector: Annotated[
            list[float], Field(description="The query, as long as the collection's dimension.")
        ],
        k: Count = 10,
        filter: Condition = None,
        collection: Collection = "",
        namespace: Namespace = "",
        min_score: Annotated[float, Field(description="Leave out lower scores; 0: none.")] = 0.0,
        include_vectors: WithVectors = False,
    ) -> Json:
        """Find the k documents most similar to a vector, best first. A higher score is more similar."""
        with _told():
            found = self._documents(collection).search(
                vector,
                k,
                filter=_condition(filter),
                namespace=namespace,
                min_score=min_score,
                include_vectors=include_vectors,
            )
            return {"hits": [_hit(hit) for hit in found], "matched": found.matched}

    def search_text(
        self,
        text: Annotated[
            str,
            Field(
                description='Words to look for: the more of them, and the rarer, the better. "in quotation marks": a '
                "phrase; begin*: words that begin so; +must be there; -must not be there."
            ),
        ],
        vector: Annotated[
            list[float] | None,
            Field(description="Also search by this vector, and join both answers (hybrid)."),
        ] = None,
        k: Count = 10,
        filter: Condition = None,
        collection: Collection = "",
        namespace: Namespace = "",
    ) -> Json:
        """Find the k documents that have the words of a text, best first, by BM25; with a vector by both. Only for
        collections with `text_keys`, the metadata whose words are found."""
        with _told():
            found = self._documents(collection).search(
                vector, k, text=text, filter=_condition(filter), namespace=namespace
            )
            return {"hits": [_hit(hit) for hit in found], "matched": found.matched, "note": found.note}

    def search_like(
        self,
        id: DocId,
        k: Count = 10,
        filter: Condition = None,
        collection: Collection = "",
        namespace: Namespace = "",
    ) -> Json:
        """More like this: find the k documents most similar to the one with this id, without itself."""
        with _told():
            documents = self._documents(collection)
            this = documents.get(id, namespace)
            if this is None or this.vector is None:
                raise ToolError(f"there is no document with id {id!r}")
            # One more, for the document itself is the first, or far behind where the inner product ranks.
            found = documents.search(
                this.vector, min(k + 1, 1000), filter=_condition(filter), namespace=namespace
            )
            return {"hits": [_hit(hit) for hit in found if hit.id != this.id][:k]}

    def get(
        self,
        ids: Annotated[list[DocId], Field(min_length=1, max_length=1000)],
        collection: Collection = "",
        namespace: Namespace = "",
        include_vectors: WithVectors = False,
    ) -> Json:
        """Get documents by their ids, in the order of the ids. Those that are not there are named in `missing`."""
        with _told():
            found = self._documents(collection).get_many(ids, namespace, include_vectors=include_vectors)
        missing = [doc_id for doc_id, document in zip(ids, found, strict=True) if document is None]
        return {"documents": _each(one for one in found if one is not None), "missing": missing}

    def scroll(
        self,
        filter: Condition = None,
        limit: Count = 20,
        page_token: Annotated[str, Field(description="`next_page_token` of the page before.")] = "",
        collection: Collection = "",
        namespace: Namespace = "",
        include_vectors: WithVectors = False,
    ) -> Json:
        """Browse documents page by page. `next_page_token` is empty on the last page."""
        with _told():
            page = self._documents(collection).scroll(
                filter=_condition(filter),
                namespace=namespace,
                limit=limit,
                page_token=page_token,
                include_vectors=include_vectors,
            )
            return {"documents": _each(page), "next_page_token": page.next_page_token}

    def count(self, filter: Condition = None, collection: Collection = "", namespace: Namespace = "") -> Json:
        """Count the documents that match a filter, exactly; without one all of them."""
        with _told():
            documents = self._documents(collection)
            return {"count": documents.count(filter=_condition(filter), namespace=namespace)}

    def _documents(self, name: str) -> pykyro.Collection | pykyro.RemoteCollection:
        return self._database.collection(name or self._default)


class WriteTools(ReadTools):
    """What changes documents."""

    def insert(
        self,
        documents: Annotated[list[NewDocument], Field(min_length=1, max_length=1000)],
        collection: Collection = "",
        namespace: Namespace = "",
    ) -> Json:
        """Store documents, each replacing the one with its id. Those that cannot be stored are in `refused`, with the
        reason, and the others are stored."""
        with _told():
            rows = [
                (one.id, one.vector, from_json(one.metadata, f"documents[{at}].metadata"))
                for at, one in enumerate(documents)
            ]
            report = self._documents(collection).insert_many(rows, namespace)
        refused = [{"id": refusal.id, "reason": refusal.reason} for refusal in report.refused]
        return {"inserted": report.inserted, "refused": refused}

    def update_metadata(
        self,
        id: DocId,
        metadata: Json,
        merge: Annotated[bool, Field(description="Keep entries that `metadata` does not name.")] = True,
        collection: Collection = "",
        namespace: Namespace = "",
    ) -> Json:
        """Change the metadata of a document. `existed` is false when there is no document with this id."""
        with _told():
            existed = self._documents(collection).update_metadata(
                id, from_json(metadata, "metadata"), merge=merge, namespace=namespace
            )
        return {"existed": existed}

    def delete(
        self,
        ids: Annotated[list[DocId] | None, Field(max_length=1000)] = None,
        filter: Condition = None,
        collection: Collection = "",
        namespace: Namespace = "",
    ) -> Json:
        """Delete the documents with these ids, or all that match a filter: give one of the two."""
        with _told():
            gone = self._documents(collection).delete_many(
                ids, filter=_condition(filter), namespace=namespace
            )
        return {"deleted": gone}


def _condition(filter: Json | None) -> Any:
    return None if filter is None else from_json(filter, "filter")


def _hit(hit: pykyro.Hit) -> Json:
    return {"id": hit.id, "score": hit.score} | _contents(hit)


def _each(documents: Iterable[pykyro.StoredDocument]) -> list[Json]:
    return [{"id": document.id} | _contents(document) for document in documents]


def _contents(one: pykyro.Hit | pykyro.StoredDocument) -> Json:
    vector = {} if one.vector is None else {"vector": one.vector.tolist()}
    return {"metadata": to_json(one.metadata)} | vector


def _about(info: pykyro.CollectionInfo) -> Json:
    return {
        "name": info.name,
        "dimension": info.config.dimension,
        "distance": info.config.metric.value,
        "id_type": info.config.id_type,
        "documents": info.documents,
        "aliases": list(info.aliases),
        "text_keys": [] if info.config.words is None else list(info.config.words.keys),
    }
