"""From the arguments of a Python caller to checked values.

The embedded Database and the clients share these, so a wrong call is the same InvalidArgument everywhere, raised
before anything is written or sent; its message names the argument, the value and the bound.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, SupportsIndex, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pykyro.model.distance import check_vector
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import DOC_ID_MAX, DOC_ID_MIN, NAMESPACE_BYTES_MAX
from pykyro.model.metadata_bounds import check_metadata_entries, check_metadata_size
from pykyro.model.scalars import require_utf8, shown, shown_error
from pykyro.model.text_ids import checked_text_id, no_text_id
from pykyro.model.types import RESERVED_KEYS, AnyId, Metric, Vector
from pykyro.model.values import MetadataValue, check_values, text_form
from pykyro.system.signal_handlers import raised_by_handler

DocId: TypeAlias = SupportsIndex | str | UUID
"""An int, or an integer of NumPy's, 1 to 2**64 - 1; where ids are text a str or a UUID (pykyro.model.text_ids)."""
Metadata: TypeAlias = Mapping[str, MetadataValue]
"""Values by key: text, numbers, bools, None, datetimes, lists and dicts (pykyro.model.values)."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Schema:
    """What all documents of a collection have in common: their vectors, and whether their ids are text."""

    dimension: int
    metric: Metric
    text_ids: bool = False


def checked_vector(value: VectorLike, field: str, schema: Schema | None) -> Vector:
    """`value` as float32, contiguous, shape (n,), in memory of its own: what is checked is what is stored.

    With a schema it is one the database can store and be asked; without, it has components and all are finite.
    """
    vector = copied_vector(value, field)
    if schema is None:
        schema = Schema(vector.shape[0], Metric.INNER_PRODUCT)
    check_vector(vector, dimension=schema.dimension, metric=schema.metric, field=field)
    return vector


def checked_doc_id(value: object, schema: Schema | None, field: str = "doc_id") -> AnyId:
    """`value` as what can be an id in a collection of this schema; without one, in a collection of either type."""
    if schema.text_ids if schema is not None else isinstance(value, (str, UUID)):
        return checked_text_id(value, field)
    if isinstance(value, (str, UUID)):
        raise no_text_id(value, field)
    return bounded_integer(value, field, DOC_ID_MIN, DOC_ID_MAX)


def checked_ids(ids: Iterable[DocId], schema: Schema | None) -> list[AnyId]:
    """All of `ids`, each what can be an id; without a schema all of one type."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidArgument(f"ids must be a list of ids, got {type(ids).__name__}", field="ids")
    checked = [checked_doc_id(doc_id, schema, f"ids[{at}]") for at, doc_id in enumerate(ids)]
    if schema is None and len(set(map(type, checked))) > 1:
        raise InvalidArgument(
            "ids has integers and texts; all ids of a collection are of one type", field="ids"
        )
    return checked


def bounded_integer(value: object, field: str, low: int, high: int) -> int:
    """`value` as an int within these bounds: Python's or NumPy's, no bool."""
    number = checked_integer(value, field)
    if not low <= number <= high:
        raise InvalidArgument(f"{field} must be >= {low} and <= {high}, got {number}", field=field)
    return number


def checked_integer(value: object, field: str) -> int:
    """`value` as an int: Python's or NumPy's, no bool."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise InvalidArgument(f"{field} must be an integer, got {value}", field=field)
    # Below a mask lies whatever was there before.
    if not isinstance(value, np.ma.MaskedArray):
        try:
            return operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            pass
        except Exception as error:
            if raised_by_handler(error):
                raise
            raise InvalidArgument(
                f"{field} must be an integer; reading it failed with {shown_error(error)}", field=field
            ) from error
    raise InvalidArgument(f"{field} must be an integer, got {shown(value)}", field=field)


def checked_namespace(namespace: object) -> str:
    """`namespace` itself; "" is none."""
    if not isinstance(namespace, str):
        raise InvalidArgument(f"namespace must be text, got {type(namespace).__name__}", field="namespace")
    size = len(require_utf8(namespace, "namespace").encode())
    if size > NAMESPACE_BYTES_MAX:
        raise InvalidArgument(
            f"namespace has {size} bytes; the maximum is {NAMESPACE_BYTES_MAX}", field="namespace"
        )
    return namespace


def checked_metadata(metadata: Metadata | None) -> dict[str, str]:
    """Values in the form in which they are kept, without the keys that belong to the database itself."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidArgument(f"metadata must be a dict, got {type(metadata).__name__}", field="metadata")
    texts: dict[str, str] = {}
    for key, value in _entries(metadata).items():
        if not isinstance(key, str):
            raise InvalidArgument(f"metadata has a key that is not text: {shown(key)}", field="metadata")
        if key not in RESERVED_KEYS:
            plain = require_utf8(str.__str__(key), f"metadata key {key[:40]!r}")
            texts[plain] = text_form(value, f"metadata.{key}")
    check_metadata_entries(texts)
    check_metadata_size(texts)
    check_values(texts)
    return texts


def _entries(metadata: Metadata) -> Metadata:
    """A dict of these entries, as they are at one moment."""
    try:
        return dict(metadata)
    except Exception as error:
        if raised_by_handler(error):
            raise
        raise InvalidArgument(
            f"metadata must be a dict; reading it failed with {shown_error(error)}", field="metadata"
        ) from error


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


VectorLike: TypeAlias = npt.ArrayLike
"""Whatever NumPy makes a one-dimensional array of numbers of; it becomes float32."""

_FLOAT32: Final = np.dtype(np.float32)


def copied_vector(value: VectorLike, field: str) -> Vector:
    """`value` as float32, contiguous, shape (n,), in memory of its own.

    Always a copy, also of a float32 array: programs that read frames or files fill one buffer again and again, and
    the checked value must be the stored one. Raises InvalidArgument unless it is a row of numbers; an error that the
    value itself raised is the cause.
    """
    try:
        # Any array, because a plain one would have lost its mask.
        array = np.asanyarray(value)
    except Exception as error:
        if raised_by_handler(error):
            raise
        # Whatever an object's own __array__ raises comes through here.
        raise InvalidArgument(
            f"{field} must be an array of numbers; reading it failed with {shown_error(error)}", field=field
        ) from error
    if type(array) is not np.ndarray:
        _require_no_mask(array, field)
    # An empty list has no numbers to tell its type by; check_vector has the right words for it.
    if array.dtype.kind not in "fiu" and array.size:
        raise InvalidArgument(f"{field} must be an array of numbers, got dtype {array.dtype}", field=field)
    if array.ndim != 1:
        raise InvalidArgument(f"{field} must have one dimension, got shape {array.shape}", field=field)
    if array.dtype == _FLOAT32:
        return np.array(array, np.float32, order="C")
    # A number beyond float32 becomes infinite, and is refused as such.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(array, np.float32, order="C")


def _require_no_mask(array: npt.NDArray[Any], field: str) -> None:
    """A masked value has no number: the one below the mask is left over from something else."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        count = int(np.ma.getmaskarray(array).sum())
        raise InvalidArgument(
            f"{field} has {count} masked values of {array.size}: give it filled(), or leave the document out",
            field=field,
        )
