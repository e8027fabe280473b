"""The archive: a plain POSIX tar file (ustar), so that `tar` reads it where this program is not at hand.

    archive  = { member } end
    member   = header  data  zero padding to a multiple of 512
    header   = name:100 "0000600\\0" "0000000\\0" "0000000\\0" size:12 time:12 checksum:8 "0" zero:100
               "ustar\\0" "00" zero:64 "0000000\\0" "0000000\\0" zero:167                        512 bytes
    end      = 1024 zero bytes

* name is ASCII, padded with zeros, one of those in filename.py, and occurs once. Never a directory or link.
* size and time (Unix seconds) are eleven octal digits and a zero byte. A size of 8 GiB or more is 0x80 and eleven
  bytes, big endian, as GNU tar, bsdtar and Python write it.
* checksum is six octal digits, a zero byte and a space: the sum of all bytes of the header, with the checksum
  itself taken as eight spaces.
* The last member is BACKUP.json (record.py). It states name, size and digest of every other member.

The archive of a full backup, unpacked by `tar -xf`, is a data directory that the server opens. A header has no
freedom: a reader makes it again from name, size and time and compares all 512 bytes, so a flipped bit anywhere
is noticed, and nothing a stranger adds is believed.
Source: IEEE Std 1003.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_OCTAL_MAX: Final = 8**11 - 1
_SIZE_MAX: Final = 2**63 - 1
_NAME_BYTES_MAX: Final = 100
_CHECKSUM_AT: Final = slice(148, 156)


@dataclass(frozen=True, slots=True)
class Header:
    """Name, length of the data in bytes, Unix seconds."""

    name: str
    size_bytes: int
    time_s: int


def padding(size_bytes: int) -> int:
    """Zero bytes that follow data of this size."""
    return -size_bytes % BLOCK


def encode_header(header: Header) -> bytes:
    """512 bytes. Raises ValueError for what does not fit."""
    name = header.name.encode("ascii")
    if not 0 < len(name) < _NAME_BYTES_MAX:
        raise ValueError(f"member name of {len(name)} bytes, must be 1 to {_NAME_BYTES_MAX - 1}")
    block = bytearray(BLOCK)
    block[: len(name)] = name
    block[100:124] = b"0000600\0" + b"0000000\0" * 2
    block[124:136] = _number(header.size_bytes)
    block[136:148] = _number(header.time_s)
    block[_CHECKSUM_AT] = b" " * 8
    block[156:157] = b"0"
    block[257:265] = b"ustar\00000"
    block[329:345] = b"0000000\0" * 2
    block[_CHECKSUM_AT] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def decode_header(block: bytes) -> Header:
    """Raises ValueError for anything that `encode_header` would not have written."""
    if len(block) != BLOCK:
        raise ValueError("a member header is cut short")
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        header = Header(name, _value(block[124:136]), _value(block[136:148]))
        again = encode_header(header)
    except ValueError as error:
        raise ValueError(f"the member header is invalid: {error}") from None
    if again != block:
        raise ValueError("the member header is damaged")
    return header


def _number(value: int) -> bytes:
    if not 0 <= value <= _SIZE_MAX:
        raise ValueError(f"{value} is outside 0..{_SIZE_MAX}")
    if value <= _OCTAL_MAX:
        return f"{value:011o}\0".encode()
    return b"\x80" + value.to_bytes(11, "big")


def _value(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    # int() takes signs, spaces and underscores; comparing with the header made again refuses those.
    return int(field[:11], 8)
