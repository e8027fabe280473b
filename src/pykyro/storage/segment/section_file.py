"""An immutable file of named arrays, each with its own digest.

    file     = "KYROSEC1" zero:56 bytes  { section }  footer  trailer
    section  = the array's bytes, C order, little endian; starts at a multiple of 64; zeros in between
    footer   = JSON {"format": 1, "attributes": {…}, "sections": {name: {dtype, shape, offset, digest}}}
    trailer  = footer_offset:u64 footer_bytes:u64 zero:8 bytes "KYROEND1"                       32 bytes

The digest of footer and trailer together stands in the MANIFEST, digests of sections stand in the footer: so
nothing is believed that was not proved from the MANIFEST down.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.model.errors import DataDamaged
from pykyro.model.limits import SECTION_NAME_BYTES_MAX, SECTIONS_MAX
from pykyro.model.types import BytesLike
from pykyro.storage import filename
from pykyro.storage.files.checksum import Digest, digest
from pykyro.storage.files.filesystem import FileSystem, write_all

FORMAT: Final = 1
_MAGIC: Final = b"KYROSEC1" + bytes(56)
_END: Final = b"KYROEND1"
_TRAILER: Final = struct.Struct("<QQ8x8s")
_ALIGNMENT: Final = 64
_DTYPES: Final = frozenset({"|u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f4", "<f8"})
_HINT: Final = "Restore from a backup"

assert len(_MAGIC) == _ALIGNMENT

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the MANIFEST remembers of a file: its length, and the digest from which all of it is proved."""

    size_bytes: int
    digest: str


class SectionWriter:
    """Writes a section file under a temporary name; `finish` makes it whole, durable and named."""

    def __init__(self, filesystem: FileSystem, path: Path) -> None:
        self._filesystem = filesystem
        self._path = path
        self._temporary = path.with_name(filename.temporary(path.name))
        self._file = filesystem.create(self._temporary)
        self._sections: dict[str, dict[str, Any]] = {}
        self._offset = 0
        try:
            self._write(_MAGIC)
        except BaseException:
            self.abandon()
            raise

    def add(self, name: str, array: AnyArray) -> None:
        """Append one array."""
        self.add_chunks(name, [array], shape=array.shape, dtype=array.dtype)

    def add_chunks(
        self, name: str, chunks: Iterable[AnyArray], *, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> None:
        """Append one array of `shape` whose rows come in pieces, so that it need never be in memory whole."""
        kind = np.dtype(dtype).newbyteorder("<")
        self._write(bytes(-self._offset % _ALIGNMENT))
        offset, content = self._offset, Digest()
        for chunk in chunks:
            data = np.ascontiguousarray(chunk, dtype=kind).reshape(-1).view(np.uint8).data
            content.update(data)
            self._write(data)
        expected = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if self._offset - offset != expected:
            raise ValueError(
                f"section {name}: {self._offset - offset} bytes given, shape {shape} needs {expected}"
            )
        self._sections[name] = {
            "dtype": kind.str,
            "shape": list(shape),
            "offset": offset,
            "digest": content.text(),
        }

    def finish(self, attributes: Mapping[str, Any]) -> FileFacts:
        """Footer, trailer, fsync, final name. The directory is the caller's to sync."""
        footer = json.dumps(
            {"format": FORMAT, "attributes": dict(attributes), "sections": self._sections},
            separators=(",", ":"),
        ).encode()
        tail = footer + _TRAILER.pack(self._offset, len(footer), _END)
        self._write(tail)
        self._file.sync(data_only=False)
        self._file.close()
        self._filesystem.replace(self._temporary, self._path)
        return FileFacts(self._offset, digest(tail))

    def abandon(self) -> None:
        """Close the unfinished file and take its name away, as far as the disk lets us."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._filesystem.remove(self._temporary)

    def _write(self, data: BytesLike) -> None:
        write_all(self._file, data)
        self._offset += len(data)


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [start, end) of a file and the digest that proves them."""

    name: str
    start: int
    end: int
    digest: str


class SectionFile:
    """An open section file: read-only arrays over a mapping."""

    def __init__(self, path: Path, data: memoryview, footer: dict[str, Any]) -> None:
        self.path = path
        self.attributes: dict[str, Any] = footer["attributes"]
        self.data = data
        """The whole file, mapped."""
        self._sections: dict[str, dict[str, Any]] = footer["sections"]

    @property
    def section_names(self) -> list[str]:
        return list(self._sections)

    def section(self, name: str) -> AnyArray:
        """The array of that name, read-only, mapped. Raises DataDamaged when the file has none."""
        entry = self._sections.get(name)
        if entry is None:
            raise DataDamaged(f"section {name} is missing", path=self.path, hint=_HINT)
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(self.data, dtype=entry["dtype"], count=count, offset=entry["offset"])
        return array.reshape(entry["shape"])

    @property
    def extents(self) -> list[Extent]:
        """Where the sections stand, in the order of the file."""
        found = []
        for name, entry in self._sections.items():
            start = entry["offset"]
            found.append(Extent(name, start, start + self.section(name).nbytes, entry["digest"]))
        return sorted(found, key=lambda extent: (extent.start, extent.end))

    def verify(self) -> None:
        """Read every section and compare digests. Raises DataDamaged naming file, section and offset."""
        for name, entry in self._sections.items():
            found = digest(self.section(name).reshape(-1).view(np.uint8).data)
            if found != entry["digest"]:
                raise DataDamaged(
                    f"section {name} does not match its digest",
                    path=self.path,
                    offset=entry["offset"],
                    hint=_HINT,
                )


def open_section_file(
    filesystem: FileSystem, path: Path, facts: FileFacts, *, verify: bool = True
) -> SectionFile:
    """Map a section file and prove it, footer first.

    `verify=False` proves the footer alone. Raises DataDamaged; FileNotFoundError when there is no such file.
    """
    if verify:
        # Proved through a mapping that is dropped at once, so the pages read here do not count as resident.
        _open(filesystem, path, facts).verify()
    return _open(filesystem, path, facts)


def _open(filesystem: FileSystem, path: Path, facts: FileFacts) -> SectionFile:
    return read_section_file(filesystem.map(path), path, facts)


def read_section_file(data: memoryview, path: Path, facts: FileFacts) -> SectionFile:
    """A section file from its bytes, the footer proved, the sections not yet. Raises DataDamaged."""
    size = data.nbytes
    if size != facts.size_bytes:
        raise DataDamaged(f"file has {size} bytes, expected {facts.size_bytes}", path=path, hint=_HINT)
    if size < len(_MAGIC) + _TRAILER.size:
        raise DataDamaged("file is too short for a trailer", path=path, offset=size, hint=_HINT)
    footer_offset, footer_bytes, end = _TRAILER.unpack(data[-_TRAILER.size :])
    if end != _END or footer_offset + footer_bytes + _TRAILER.size != size:
        raise DataDamaged(
            "file does not end with a trailer", path=path, offset=size - _TRAILER.size, hint=_HINT
        )
    if digest(data[footer_offset:]) != facts.digest:
        raise DataDamaged("footer does not match its digest", path=path, offset=footer_offset, hint=_HINT)
    try:
        footer = parse_footer(bytes(data[footer_offset : footer_offset + footer_bytes]), footer_offset)
    except ValueError as error:
        raise DataDamaged(f"footer: {error}", path=path, offset=footer_offset, hint=_HINT) from None
    return SectionFile(path, data, footer)


def parse_footer(data: bytes, sections_end: int) -> dict[str, Any]:
    """A footer whose every section lies inside the first `sections_end` bytes. Raises ValueError."""
    try:
        footer = json.loads(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(footer, dict) or footer.get("format") != FORMAT:
        raise ValueError(f"format is not {FORMAT}")
    sections = footer.get("sections")
    if not isinstance(sections, dict) or not isinstance(footer.get("attributes"), dict):
        raise ValueError("sections or attributes are not objects")
    if len(sections) > SECTIONS_MAX:
        raise ValueError(f"{len(sections)} sections exceed {SECTIONS_MAX}")
    for name, entry in sections.items():
        _check_section(name, entry, sections_end)
    return footer


def _check_section(name: str, entry: Any, sections_end: int) -> None:
    if len(name.encode()) > SECTION_NAME_BYTES_MAX or not isinstance(entry, dict):
        raise ValueError("a section has no valid name or entry")
    dtype, shape, offset = entry.get("dtype"), entry.get("shape"), entry.get("offset")
    if not isinstance(dtype, str) or dtype not in _DTYPES or not isinstance(entry.get("digest"), str):
        raise ValueError(f"section {name} has no known type or no digest")
    if (
        not isinstance(shape, list)
        or not all(type(n) is int and 0 <= n < 2**48 for n in shape)
        or len(shape) > 2
    ):
        raise ValueError(f"section {name} has no valid shape")
    size = np.dtype(dtype).itemsize
    for extent in shape:
        size *= extent
    if type(offset) is not int or offset < 0 or offset % _ALIGNMENT or offset + size > sections_end:
        raise ValueError(f"section {name} lies outside the file")
