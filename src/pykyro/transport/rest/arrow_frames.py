"""Whether the buffers of an Arrow stream are compressed, which only the frames of the stream say.

    stream   = { 0xFFFFFFFF int32(length of metadata) metadata body }
    metadata = a flatbuffer of the table Message: version, header_type, header, bodyLength
    header   = of a RecordBatch: length, nodes, buffers, compression; of a DictionaryBatch (type 2): id, data

Source: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format
"""

from __future__ import annotations

import struct
from typing import Final

from pykyro.model.errors import InvalidArgument

_MARK: Final = b"\xff\xff\xff\xff"
_I32, _U32, _U16, _I64 = (struct.Struct(form) for form in ("<i", "<I", "<H", "<q"))
_SCHEMA, _DICTIONARY, _RECORD_BATCH = 1, 2, 3
_COMPRESSION: Final = 3
"""Which field of a RecordBatch says so."""


def check_not_compressed(body: bytes) -> None:
    """Refuse compressed buffers, dictionaries, and what is no stream. Raises InvalidArgument."""
    try:
        at = 0
        while at < len(body):
            if body[at : at + 4] == _MARK:
                at += 4
            (length,) = _I32.unpack_from(body, at)
            at += 4
            if length == 0:
                return
            if length < 0 or at + length > len(body):
                raise ValueError("its end is missing")
            message = _Table(body, at + _U32.unpack_from(body, at)[0])
            kind, header, size = message.byte(1), message.table(2), message.long(3)
            if kind == _DICTIONARY:
                raise InvalidArgument(
                    "the body has dictionary-encoded columns: cast them to their values", field="body"
                )
            if kind == _RECORD_BATCH and header is not None and header.has(_COMPRESSION):
                raise InvalidArgument("the body has compressed buffers: send them as they are", field="body")
            if kind not in (_SCHEMA, _RECORD_BATCH) or size < 0:
                raise ValueError("it has messages of other kinds")
            at += length + size
    except (struct.error, IndexError, ValueError) as error:
        raise InvalidArgument(f"the body is no stream of Arrow: {error}", field="body") from None


class _Table:
    """A table of a flatbuffer. Source: https://flatbuffers.dev/internals/"""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._fields = at - _I32.unpack_from(data, at)[0]
        if not 0 <= self._fields < len(data):
            raise ValueError("a table of it has no fields")
        self._size = _U16.unpack_from(data, self._fields)[0]

    def _place(self, number: int) -> int:
        slot = 4 + 2 * number
        offset = 0 if slot + 2 > self._size else int(_U16.unpack_from(self._data, self._fields + slot)[0])
        return self._at + offset if offset else 0

    def has(self, number: int) -> bool:
        return self._place(number) != 0

    def byte(self, number: int) -> int:
        place = self._place(number)
        return self._data[place] if place else 0

    def long(self, number: int) -> int:
        place = self._place(number)
        return int(_I64.unpack_from(self._data, place)[0]) if place else 0

    def table(self, number: int) -> _Table | None:
        place = self._place(number)
        return _Table(self._data, place + _U32.unpack_from(self._data, place)[0]) if place else None
