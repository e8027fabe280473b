"""LlamaIndex's nodes and the rows of the database, one from the other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

import pykyro

_CONTENT: Final = "_node_content"
_DOCUMENT_KEYS: Final = ("document_id", "doc_id", "ref_doc_id")
SOURCE_KEY: Final = "ref_doc_id"
"""The metadata entry that holds the id of the document a node was cut from."""
TEXT_KEY: Final = "_node_text"
"""The text of a node once more, where its words are to be found."""
_OWN_KEYS: Final = frozenset({_CONTENT, TEXT_KEY, "_node_type", *_DOCUMENT_KEYS})
"""Entries that LlamaIndex makes of a node. A node's own metadata of these names is kept within the content, where it
comes back from but is not filtered by."""

Row: TypeAlias = tuple[str, list[float], dict[str, Any]]


def rows_of(nodes: Iterable[BaseNode], *, with_text: bool = False) -> list[Row]:
    """(id, vector, metadata) for each node. Raises InvalidArgument for one without an embedding."""
    return [
        (node.node_id, _embedding(node), _metadata(node) | ({TEXT_KEY: _text(node)} if with_text else {}))
        for node in nodes
    ]


def node_of(stored: pykyro.Hit | pykyro.StoredDocument) -> BaseNode:
    """The node that was stored so, without its embedding. Raises FailedPrecondition for what is none."""
    entries = stored.metadata
    if not isinstance(entries.get(_CONTENT), str):
        raise pykyro.FailedPrecondition(
            f"document {stored.id!r} was not stored by LlamaIndex: it has no metadata entry {_CONTENT!r}"
        )
    node: BaseNode = metadata_dict_to_node(entries)
    node.metadata = {key: value for key, value in entries.items() if key not in _OWN_KEYS} | node.metadata
    return node


def _metadata(node: BaseNode) -> dict[str, Any]:
    made = node_to_metadata_dict(node)
    content = json.loads(made[_CONTENT])
    content["metadata"] = {key: value for key, value in content["metadata"].items() if key in _OWN_KEYS}
    # LlamaIndex writes "None" for a node without a document; nothing stands for it here.
    source = {} if node.ref_doc_id is None else dict.fromkeys(_DOCUMENT_KEYS, node.ref_doc_id)
    kept = {key: value for key, value in node.metadata.items() if key not in _OWN_KEYS}
    return (
        kept
        | source
        | {
            _CONTENT: json.dumps(content, ensure_ascii=False),
            "_node_type": made["_node_type"],
        }
    )


def _text(node: BaseNode) -> str:
    return node.get_content(MetadataMode.NONE)


def _embedding(node: BaseNode) -> list[float]:
    if node.embedding is None:
        raise pykyro.InvalidArgument(
            f"node {node.node_id!r} has no embedding: an index embeds nodes before it adds them",
            field="nodes",
        )
    return node.embedding
