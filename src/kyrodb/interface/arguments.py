"""From what a Python caller passes to values that cannot be wrong.

The embedded Database and the clients share these, so a wrong call is the same InvalidArgument everywhere, raised
before anything is written or sent; its message names the argument, the value and the bound.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from kyrodb.distance import check_vector
from kyrodb.engine.metadata_bounds import check_metadata_entries, check_metadata_size
from kyrodb.errors import InvalidArgument
from kyrodb.index.filter_dict import text_of
from kyrodb.interface.answers import Refusal, StoredDocument
from kyrodb.limits import (
    DOC_ID_MAX,
    DOC_ID_MIN,
    NAMESPACE_BYTES_MAX,
)
from kyrodb.types import RESERVED_KEYS, Document, Metric, Vector

DocId: TypeAlias = SupportsIndex
"""An int, or an integer of NumPy's; 1 to 2**64 - 1."""
VectorLike: TypeAlias = npt.ArrayLike
"""Whatever NumPy makes a one-dimensional array of numbers of; it becomes float32."""
Metadata: TypeAlias = Mapping[str, str | float | np.integer | np.floating]
"""Numbers are stored as their text: kyrodb.index.filter_dict.text_of."""
DocumentLike: TypeAlias = (
    tuple[DocId, VectorLike] | tuple[DocId, VectorLike, Metadata | None] | StoredDocument
)
"""(id, vector), (id, vector, metadata), or a document as a lookup returned it."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Schema:
    """What every vector of a database has in common."""

    dimension: int
    metric: Metric


def checked_vector(value: VectorLike, field: str, schema: Schema | None) -> Vector:
    """`value` as float32, contiguous, shape (n,); not a copy when it is that already.

    With a schema it is one the database can store and be asked; without, it has components and all are finite.
    """
    vector = _array(value, field)
    if vector.ndim != 1:
        raise InvalidArgument(f"{field} must have one dimension, got shape {vector.shape}", field=field)
    if schema is None:
        schema = Schema(vector.shape[0], Metric.INNER_PRODUCT)
    check_vector(vector, dimension=schema.dimension, metric=schema.metric, field=field)
    return vector


def checked_doc_id(value: object, field: str = "doc_id") -> int:
    """`value` as an int that can be an id."""
    return bounded_integer(value, field, DOC_ID_MIN, DOC_ID_MAX)


def checked_ids(ids: Iterable[DocId]) -> list[int]:
    """All of `ids`, each an int that can be an id."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidArgument(f"ids must be a list of integers, got {type(ids).__name__}", field="ids")
    return [checked_doc_id(doc_id, f"ids[{at}]") for at, doc_id in enumerate(ids)]


def bounded_integer(value: object, field: str, low: int, high: int) -> int:
    """`value` as an int within these bounds: Python's or NumPy's, no bool."""
    if isinstance(value, (bool, np.bool_)):
        raise InvalidArgument(f"{field} must be an integer, got {value}", field=field)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidArgument(
            f"{field} must be an integer, got {type(value).__name__} {value!r}", field=field
        ) from None
    if not low <= number <= high:
        raise InvalidArgument(f"{field} must be >= {low} and <= {high}, got {number}", field=field)
    return number


def checked_namespace(namespace: object) -> str:
    """`namespace` itself; "" is none."""
    if not isinstance(namespace, str):
        raise InvalidArgument(f"namespace must be text, got {type(namespace).__name__}", field="namespace")
    size = len(text_of(namespace, "namespace").encode())
    if size > NAMESPACE_BYTES_MAX:
        raise InvalidArgument(
            f"namespace has {size} bytes; the maximum is {NAMESPACE_BYTES_MAX}", field="namespace"
        )
    return namespace


def checked_metadata(metadata: Metadata | None) -> dict[str, str]:
    """Text to text, without the keys that belong to the database itself."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidArgument(f"metadata must be a dict, got {type(metadata).__name__}", field="metadata")
    texts: dict[str, str] = {}
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise InvalidArgument(
                f"metadata has a key that is not text: {type(key).__name__} {key!r}", field="metadata"
            )
        if key not in RESERVED_KEYS:
            texts[text_of(key, f"metadata key {key[:40]!r}")] = text_of(value, f"metadata.{key}")
    check_metadata_entries(texts)
    check_metadata_size(texts)
    return texts


def checked_document(
    doc_id: object, vector: VectorLike, metadata: Metadata | None, schema: Schema | None
) -> Document:
    """A document whose metadata holds the caller's entries only."""
    return Document(
        checked_doc_id(doc_id), checked_vector(vector, "vector", schema), checked_metadata(metadata)
    )


def accepted(documents: Iterable[DocumentLike], schema: Schema, refused: list[Refusal]) -> Iterator[Document]:
    """The documents that can be stored; the others are added to `refused`."""
    for document in documents:
        doc_id: object = None
        try:
            doc_id, vector, metadata = _unpacked(document)
            yield checked_document(doc_id, vector, metadata, schema)
        except InvalidArgument as fault:
            refused.append(Refusal(doc_id, str(fault)))


def document_bytes(document: Document) -> int:
    """About what a document takes on its way: its vector and its metadata."""
    return document.vector.nbytes + sum(len(key) + len(value) for key, value in document.metadata.items())


def groups(
    items: Iterable[Item], *, count_max: int, bytes_max: int, bytes_of: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """`items` in lists of at most `count_max`, whose bytes exceed `bytes_max` by one item at most."""
    group: list[Item] = []
    size = 0
    for item in items:
        group.append(item)
        size += bytes_of(item)
        if len(group) == count_max or size >= bytes_max:
            yield group
            group, size = [], 0
    if group:
        yield group


def _unpacked(document: DocumentLike) -> tuple[object, VectorLike, Metadata | None]:
    match document:
        case StoredDocument(id=doc_id, vector=vector, metadata=metadata):
            if vector is None:
                raise InvalidArgument(f"document {doc_id} was looked up without its vector", field="vector")
            return doc_id, vector, metadata
        case (doc_id, vector):
            return doc_id, vector, None
        case (doc_id, vector, metadata):
            return doc_id, vector, metadata
        case _:
            raise InvalidArgument(
                f"a document must be (id, vector), (id, vector, metadata) or a StoredDocument, got "
                f"{type(document).__name__}",
                field="documents",
            )


def _array(value: VectorLike, field: str) -> npt.NDArray[np.float32]:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"{field} must be an array of numbers: {error}", field=field) from None
    # An empty list has no numbers to tell its type by; check_vector has the right words for it.
    if array.dtype.kind not in "fiu" and array.size:
        raise InvalidArgument(f"{field} must be an array of numbers, got dtype {array.dtype}", field=field)
    # What float32 cannot hold becomes infinite, and is refused as such.
    with np.errstate(over="ignore"):
        return array.astype(np.float32, order="C", copy=False)
