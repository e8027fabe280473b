"""Embedding functions: any callable from texts to vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

Documents: TypeAlias = list[str]
Embeddings: TypeAlias = list[Any]
Embeddable = TypeVar("Embeddable")
Embedder: TypeAlias = Callable[[list[str]], Sequence[Any]]
"""Texts in, one vector for each out. A method `embed_query` is taken for queries where there is one."""


class EmbeddingFunction(Generic[Embeddable]):
    """The base class that Chroma asks for. Here it is allowed, and any callable will do."""

    def __call__(self, input: Embeddable) -> Embeddings:
        """One vector for each of the texts."""
        raise NotImplementedError(f"{type(self).__name__} has no method __call__")

    def embed_query(self, input: Embeddable) -> Embeddings:
        """The same for queries."""
        return self(input)


def embed(embedder: Embedder | None, texts: list[str], *, for_query: bool = False) -> list[Any]:
    """One vector for each text. Raises ValueError without an embedder, or when it gives another number."""
    if embedder is None:
        raise ValueError(
            "You must provide an embedding function to compute embeddings: give embedding_function to "
            "create_collection or get_collection, which stores none and has no default, or give the vectors"
        )
    embed_query = getattr(embedder, "embed_query", None)
    vectors = list(embed_query(texts) if for_query and callable(embed_query) else embedder(texts))
    if len(vectors) != len(texts):
        raise ValueError(f"the embedding function gave {len(vectors)} vectors for {len(texts)} texts")
    return vectors
