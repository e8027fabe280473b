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

import tarfile
from dataclasses import dataclass
from typing import Final

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(2 * BLOCK)
_NUMBER_MAX: Final = 2**63 - 1
_NAME_BYTES_MAX: Final = 100
_CHECKSUM_AT: Final = slice(148, 156)
_MAGIC_AT: Final = slice(257, 265)
_DEVICE_AT: Final = slice(329, 345)


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
    for number in (header.size_bytes, header.time_s):
        if not 0 <= number <= _NUMBER_MAX:
            raise ValueError(f"{number} is outside 0..{_NUMBER_MAX}")
    info = tarfile.TarInfo(header.name)
    info.size, info.mtime, info.mode = header.size_bytes, header.time_s, 0o600
    # The library writes numbers of 8 GiB and more only under the magic of GNU, and what it writes for the device
    # numbers of a plain file depends on the version of Python.
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict"))
    block[_MAGIC_AT] = tarfile.POSIX_MAGIC
    block[_DEVICE_AT] = b"0000000\0" * 2
    block[_CHECKSUM_AT] = b" " * 8
    block[_CHECKSUM_AT] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def decode_header(block: bytes) -> Header:
    """Raises ValueError for anything that `encode_header` would not have written."""
    if len(block) != BLOCK:
        raise ValueError("a member header is cut short")
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        header = Header(info.name, info.size, int(info.mtime))
        again = encode_header(header)
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(f"the member header is invalid: {error}") from None
    # The library forgives much (signs, spaces, bytes it does not know); the header made again does not.
    if again != block:
        raise ValueError("the member header is damaged")
    return header
