"""Documents of an Arrow stream (IPC streaming format), as messages.

The columns are those of pykyro.model.frames. What comes from anybody is validated wholly before a value is read, and
types in which few bytes stand for many (dictionaries, runs, views) are refused, as compressed buffers are: what a
body takes in memory is then bounded by its size.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.frames import ID, METADATA, VECTOR, frame_rows
from pykyro.model.limits import REST_ARROW_BYTES_MAX
from pykyro.model.scalars import shown, shown_error
from pykyro.model.typed_text import tags_of
from pykyro.model.types import RESERVED_KEYS
from pykyro.model.values import text_form
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.transport.rest.arrow_frames import check_not_compressed
from pykyro.transport.rest.declare import InThread
from pykyro.transport.rest.messages import id_fields
from pykyro.transport.rest.problems import Problem, too_large

_TOGETHER: Final = 256
_END: Final = object()


async def arrow_messages(
    chunks: AsyncIterator[bytes], in_thread: InThread
) -> AsyncIterator[list[bytes | InvalidArgument | None]]:
    """The message of each row, or why it has none. Raises Problem, InvalidArgument for what is no such stream."""
    if importlib.util.find_spec("pyarrow") is None:
        raise Problem(
            "UNIMPLEMENTED",
            "bodies of Arrow need pyarrow where the server runs: pip install 'pykyro[parquet]'",
            status=501,
        )
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > REST_ARROW_BYTES_MAX:
            raise too_large(f"the body has more than {REST_ARROW_BYTES_MAX} bytes, the maximum of Arrow")
    made = _made(bytes(body))
    del body
    while (some := await in_thread(lambda: next(made, _END))) is not _END:
        yield some


def _made(body: bytes) -> Iterator[list[bytes | InvalidArgument | None]]:
    import pyarrow as arrow

    check_not_compressed(body)
    try:
        with arrow.ipc.open_stream(body) as reader:
            for field in reader.schema:
                _check_type(field.type, field.name, arrow)
            for batch in reader:
                batch.validate(full=True)
                for start in range(0, batch.num_rows, _TOGETHER):
                    rows = frame_rows(arrow.Table.from_batches([batch.slice(start, _TOGETHER)]))
                    yield [_message(*row) for row in rows]
    except (arrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidArgument(
            f"the body is no stream of Arrow that holds documents: {shown_error(error)}", field="body"
        ) from None


def _check_type(kind: Any, name: str, arrow: Any) -> None:
    types = arrow.types
    if name == ID and not (types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)):
        raise InvalidArgument(f"the column id must be of integers or texts, got {kind}", field=ID)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        _check_type(kind.value_type, "", arrow)
    elif types.is_struct(kind):
        for at in range(kind.num_fields):
            _check_type(kind.field(at).type, "", arrow)
    elif not (
        types.is_primitive(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_null(kind)
    ):
        raise InvalidArgument(
            f"the column {name[:100]!r} has the type {kind}, which documents cannot have: cast it to numbers, texts, "
            "times, lists or structs",
            field=name or METADATA,
        )


def _message(own_id: Any, vector: Any, metadata: Any) -> bytes | InvalidArgument:
    try:
        if isinstance(own_id, bool) or not isinstance(own_id, int | str):
            raise InvalidArgument(f"id must be an integer or a text, got {shown(own_id)}", field=ID)
        if isinstance(own_id, int) and own_id < 0:
            raise InvalidArgument(f"id must be >= 1, got {own_id}", field=ID)
        if not isinstance(vector, np.ndarray) or vector.dtype.kind not in "fiu":
            raise InvalidArgument(f"{VECTOR} must be a list of numbers, got {shown(vector)}", field=VECTOR)
        texts = {
            key: value if type(value) is str else text_form(value, f"metadata.{key[:200]}")
            for key, value in metadata.items()
            if key not in RESERVED_KEYS
        }
        with np.errstate(over="ignore"):
            components = vector.astype("<f4").tobytes()
        return wire.InsertRequest(
            **id_fields(own_id), embedding=components, metadata=texts, types=tags_of(texts)
        ).SerializeToString()
    except InvalidArgument as fault:
        return fault
    except (UnicodeEncodeError, ValueError) as error:
        return InvalidArgument(f"the row cannot be read: {shown_error(error)}")
