"""Metadata as bytes, in the form a response carries them.

    metadata = [ id ] { entry } [ types ] [ expires ]
    id       = 0xC2 0x07 varint(len) text                field 120: the id where ids are text, the entry TEXT_ID_KEY
    entry    = 0x22 varint(length of body) body          field 4, length-delimited
    body     = 0x0A varint(len) key  0x12 varint(len) value   UTF-8
    types    = 0xA2 0x06 varint(entries) tags            field 100, one tag for each entry in their order
    expires  = 0xE0 0x08 varint(instant)                 field 140, microseconds since the Unix epoch

This is the protobuf wire form of `map<string, string> metadata = 4`, `string types = 100`, `string text_id = 120` and
`uint64 expires_at = 140`, fields both QueryResponse and SearchResult have, so a stored document's metadata goes into
a response without being decoded.
Values are in their text form, and where all are texts there are no types (pykyro.model.typed_text). `expires` is
there in what is kept of a document that goes by itself, not in a record of the log.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pykyro.model.typed_text import TypedText, tags_of, with_tags
from pykyro.model.types import TEXT_ID_KEY

TYPES_TAG: Final = b"\xa2\x06"
EXPIRES_TAG: Final = b"\xe0\x08"
_EXPIRES_BYTES_MAX: Final = 10
TEXT_ID_TAG: Final = b"\xc2\x07"
_ENTRY, _KEY, _VALUE = 0x22, 0x0A, 0x12
_LAST_GROUP = [bytes((bits,)) for bits in range(0x80)]
_GROUP = [bytes((bits | 0x80,)) for bits in range(0x80)]
"""Of a varint: seven bits, and whether more follow."""
_SHORT = b"\x22%c\x0a%c%b\x12%c%b"


def encode_metadata(metadata: Mapping[str, str]) -> bytes:
    """Wire bytes of `metadata`, entries sorted by key so that equal maps have equal bytes."""
    entries = []
    typed, keys = False, sorted(metadata)
    if TEXT_ID_KEY in metadata:
        entries.append(text_id_field(metadata[TEXT_ID_KEY]))
        keys.remove(TEXT_ID_KEY)
    for key in keys:
        value = metadata[key]
        typed = typed or type(value) is not str
        key_bytes, value_bytes = key.encode(), value.encode()
        key_length, value_length = len(key_bytes), len(value_bytes)
        if key_length + value_length + 4 < 0x80:
            # All three lengths are one byte, as nearly always; this is on the path of every insert.
            body_length = key_length + value_length + 4
            entries.append(_SHORT % (body_length, key_length, key_bytes, value_length, value_bytes))
        else:
            body = b"".join(
                (b"\x0a", varint(key_length), key_bytes, b"\x12", varint(value_length), value_bytes)
            )
            entries.append(b"".join((b"\x22", varint(len(body)), body)))
    if typed and (tags := tags_of({key: metadata[key] for key in keys})):
        entries += (TYPES_TAG, varint(len(tags)), tags.encode())
    return b"".join(entries)


def has_types(wire: bytes) -> bool:
    """Whether what `encode_metadata` wrote has values that are not text. Nearly always one search tells: a tag never
    has the two bytes in it, so types begin where they are last."""
    at = wire.rfind(TYPES_TAG)
    if at < 0 or len(wire) - at > 2 * len(TYPES_TAG) + len(wire) // 6 + _EXPIRES_BYTES_MAX:
        # An entry has six bytes at least, and one tag.
        return False
    return any(isinstance(text, TypedText) for text in decode_metadata(wire).values())


def decode_metadata(data: bytes | memoryview) -> dict[str, str]:
    """The map that `encode_metadata` wrote. Raises ValueError when the bytes are not of that form."""
    buffer = bytes(data)
    texts, tags = decode_texts(buffer)
    metadata = with_tags(texts, tags) if tags else texts
    if buffer.startswith(TEXT_ID_TAG):
        metadata[TEXT_ID_KEY] = text_id_in(buffer)
    return metadata


def decode_texts(data: bytes | memoryview) -> tuple[dict[str, str], str]:
    """The same as plain texts, by ascending key, and their tags, which are empty when all are texts; without the id
    of the document."""
    buffer = bytes(data)
    metadata: dict[str, str] = {}
    position = _text_id_end(buffer) if buffer.startswith(TEXT_ID_TAG) else 0
    while position < len(buffer):
        if buffer[position] == TYPES_TAG[0]:
            return metadata, _tags(buffer, position)
        if buffer[position] == EXPIRES_TAG[0]:
            _check_expires(buffer, position)
            break
        body, position = _delimited(buffer, position, _ENTRY)
        key, value = _entry(body)
        metadata[key.decode()] = value.decode()
    return metadata, ""


def _entry(body: bytes) -> tuple[bytes, bytes]:
    """The key and the value of an entry. Nearly always each length is one byte, which is told apart first."""
    size = len(body)
    key_end = 2 + body[1] if size > 1 else size
    if (
        key_end + 1 < size < 0x80
        and body[0] == _KEY
        and body[key_end] == _VALUE
        and key_end + 2 + body[key_end + 1] == size
    ):
        return body[2:key_end], body[key_end + 2 :]
    key, rest = _delimited(body, 0, _KEY)
    value, end = _delimited(body, rest, _VALUE)
    if end != size:
        raise ValueError("bytes after the value of a metadata entry")
    return key, value


def _tags(buffer: bytes, position: int) -> str:
    if buffer[position : position + len(TYPES_TAG)] != TYPES_TAG:
        raise ValueError("what comes after the metadata entries is no types")
    tags, end = _delimited(buffer, position + 1, TYPES_TAG[1])
    if end != len(buffer):
        _check_expires(buffer, end)
    return tags.decode()


def expires_field(instant_us: int) -> bytes:
    """The last part of the metadata of a document that goes at this instant."""
    return EXPIRES_TAG + varint(instant_us)


def expires_in(wire: bytes) -> int:
    """The instant that such metadata names, 0 when there is none.

    The tag is found from behind: UTF-8 never has its two bytes, and a length of these bytes is longer than the tail.
    """
    at = wire.find(EXPIRES_TAG, max(0, len(wire) - _EXPIRES_BYTES_MAX))
    if at < 0:
        return 0
    value = shift = 0
    for byte in wire[at + len(EXPIRES_TAG) :]:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value


def _check_expires(buffer: bytes, position: int) -> None:
    rest = buffer[position:]
    if (
        len(rest) > _EXPIRES_BYTES_MAX
        or not rest.startswith(EXPIRES_TAG)
        or rest != expires_field(expires_in(rest))
    ):
        raise ValueError("what comes after the entries of metadata is neither their types nor an instant")


def text_id_field(text: str) -> bytes:
    """The wire bytes of a text id: no others begin those of the document with this id, and of no other document."""
    encoded = text.encode()
    length = len(encoded)
    return b"\xc2\x07%c%b" % (length, encoded) if length < 0x80 else TEXT_ID_TAG + varint(length) + encoded


def text_id_in(wire: bytes) -> str:
    """The text id of the document whose metadata is `wire`. Raises ValueError when it has none."""
    length = wire[2] if len(wire) > 2 else 0
    if 0 < length < 0x80 and wire[1] == TEXT_ID_TAG[1] and len(text := wire[3 : 3 + length]) == length:
        return text.decode()
    return _delimited(wire, 1, TEXT_ID_TAG[1])[0].decode()


def text_id_alone(wire: bytes) -> bytes:
    """What is left of `wire` when all entries are left out: the text id, nothing where there is none."""
    return wire[: _text_id_end(wire)] if wire.startswith(TEXT_ID_TAG) else b""


def _text_id_end(wire: bytes) -> int:
    return _delimited(wire, 1, TEXT_ID_TAG[1])[1]


def varint(value: int) -> bytes:
    """`value` >= 0 in base 128, least significant group first."""
    if value < 0x80:
        if value < 0:
            raise ValueError(f"{value} has no varint")
        return _LAST_GROUP[value]
    if value < 0x4000:
        return _GROUP[value & 0x7F] + _LAST_GROUP[value >> 7]
    return _GROUP[value & 0x7F] + _GROUP[value >> 7 & 0x7F] + varint(value >> 14)


def _delimited(buffer: bytes, position: int, tag: int) -> tuple[bytes, int]:
    if position >= len(buffer) or buffer[position] != tag:
        raise ValueError(f"metadata entry does not start with tag {tag:#x}")
    position += 1
    if position < len(buffer) and buffer[position] < 0x80:  # as nearly always
        end = position + 1 + buffer[position]
        if end <= len(buffer):
            return buffer[position + 1 : end], end
    length = shift = 0
    while True:
        if position >= len(buffer) or shift > 28:
            raise ValueError("metadata length does not end")
        byte = buffer[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if position + length > len(buffer):
        raise ValueError("metadata entry is longer than its buffer")
    return buffer[position : position + length], position + length


SHORT_VARINTS: Final = tuple(varint(value) for value in range(1 << 13))
"""`varint` of the small numbers, which nearly all lengths and counts are; to look one up takes less time."""
