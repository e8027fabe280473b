"""COLLECTIONS: which collections and aliases a database has beside `default`.

    file  = "KYRODB-COLLECTIONS " format " " digest-of-the-rest LF  JSON

It is replaced as a whole, as MANIFEST is (manifest.py); without it there is `default` alone. A collection is known by
its number: its directory is collections/<number>, and its name may change. A directory that the file does not name
is what a crash left of a collection that was being created or dropped, and is removed at the next start. Programs of
earlier versions do not read this file; they see `default`, and leave the rest as it is.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from pykyro.model.cold_tier import LOCAL
from pykyro.model.collection import DEFAULT, DEFAULT_NUMBER, not_found
from pykyro.model.errors import DataDamaged, DataDirMismatch
from pykyro.model.limits import CATALOGUE_BYTES_MAX, TTL_US_MAX
from pykyro.model.types import Metric
from pykyro.storage import filename
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file
from pykyro.storage.files.same_file import require_same
from pykyro.storage.manifest import WordsEntry

FORMAT: Final = 1
_MAGIC: Final = b"KYRODB-COLLECTIONS "
_HINT: Final = "Restore it from a backup; the directories under collections/ are whole without it"

_Number = Annotated[int, Field(ge=1, strict=True)]
_Positive = Annotated[int, Field(ge=1, strict=True)]


class CatalogueEntry(BaseModel):
    """One collection. `number` names its directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: _Number
    dimension: _Positive
    metric: Metric
    m: _Positive
    ef_construction: _Positive
    ef_search: _Positive
    id_type: str = "integer"
    created_us: Annotated[int, Field(ge=0, strict=True)] = 0
    default_ttl_us: Annotated[int, Field(ge=0, le=TTL_US_MAX, strict=True)] = 0
    cold_tier: str = LOCAL
    words: WordsEntry | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not said is left out, as earlier versions wrote it and read it."""
        fields: dict[str, Any] = serialise(self)
        if not self.default_ttl_us:
            del fields["default_ttl_us"]
        if self.cold_tier == LOCAL:
            del fields["cold_tier"]
        if self.words is None:
            del fields["words"]
        return fields


class Catalogue(BaseModel):
    """All collections by name, and all aliases by the number they stand for (0 is `default`).

    `next_number` is larger than every number that was ever given out, so that none is used twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    next_number: _Number = 1
    collections: dict[str, CatalogueEntry] = {}
    aliases: dict[str, Annotated[int, Field(ge=0, strict=True)]] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Catalogue:
        numbers = {entry.number for entry in self.collections.values()}
        if len(numbers) < len(self.collections) or DEFAULT in self.collections:
            raise ValueError("two collections have the same number, or one is called default")
        if numbers and max(numbers) >= self.next_number:
            raise ValueError("next_number was given out already")
        if not set(self.aliases.values()) <= numbers | {DEFAULT_NUMBER}:
            raise ValueError("an alias stands for a collection that does not exist")
        if not self.aliases.keys().isdisjoint(self.collections.keys() | {DEFAULT}):
            raise ValueError("an alias is called as a collection is")
        return self


def encode_catalogue(catalogue: Catalogue) -> bytes:
    body = catalogue.model_dump_json(indent=1).encode() + b"\n"
    return _MAGIC + f"{FORMAT} {digest(body)}\n".encode() + body


def decode_catalogue(data: bytes, path: Path) -> Catalogue:
    """Raises DataDamaged for anything that was not written whole, DataDirMismatch for another format."""
    head, separator, body = data.partition(b"\n")
    words = head.split(b" ")
    if not data.startswith(_MAGIC) or not separator or len(words) != 3:
        raise DataDamaged("not a KyroDB catalogue", path=path, offset=0, hint=_HINT)
    if digest(body).encode() != words[2]:
        raise DataDamaged("catalogue does not match its digest", path=path, offset=0, hint=_HINT)
    if words[1] != str(FORMAT).encode():
        raise DataDirMismatch(
            f"catalogue format {words[1].decode('ascii', 'replace')}, this program reads {FORMAT}",
            path=path,
            hint="Open it with the version of KyroDB that wrote it",
        )
    try:
        return Catalogue.model_validate_json(body)
    except ValidationError as error:
        raise DataDamaged(f"catalogue content: {error.errors()[0]['msg']}", path=path, hint=_HINT) from None


def read_catalogue(filesystem: FileSystem, directory: Path) -> Catalogue:
    """The catalogue of a database; an empty one when there is none. Raises DataDamaged, DataDirMismatch, OSError."""
    path = directory / filename.CATALOGUE
    try:
        return decode_catalogue(filesystem.read(path, limit=CATALOGUE_BYTES_MAX), path)
    except FileNotFoundError:
        return Catalogue()


def collection_directory(directory: Path, number: int) -> Path:
    """Where a collection of the database in `directory` is."""
    return directory if number == DEFAULT_NUMBER else directory / filename.COLLECTIONS / str(number)


def directory_of(filesystem: FileSystem, directory: Path, name: str) -> Path:
    """Where the collection with this name or alias is; "" is `default`. Raises NotFound, DataDamaged, OSError."""
    if not name or name == DEFAULT:
        return directory
    catalogue = read_catalogue(filesystem, directory)
    entry = catalogue.collections.get(name)
    number = catalogue.aliases.get(name) if entry is None else entry.number
    if number is None:
        raise not_found(name, (DEFAULT, *catalogue.collections, *catalogue.aliases))
    return collection_directory(directory, number)


class CatalogueStore:
    """The catalogue that is known to be on disk. Any thread may call any method.

    After a failed `update` the disk may hold the old or the new one; `current` is the old one, and the next that
    succeeds settles the matter. What somebody else wrote is never replaced.
    """

    def __init__(self, filesystem: FileSystem, directory: Path) -> None:
        """Reads it. The caller holds the lock of the directory. Raises DataDamaged, DataDirMismatch, OSError."""
        self._filesystem = filesystem
        self._directory = directory
        self._identity = filesystem.identity(directory)
        self.lock = threading.RLock()
        """Held by whoever changes which collections there are."""
        self.current = read_catalogue(filesystem, directory)
        self._next_number = self.current.next_number
        self._written = [self._on_disk()]
        """What the disk may hold, as far as it was written here."""

    def take_number(self) -> int:
        """A number no collection had before."""
        with self.lock:
            self._next_number += 1
            return self._next_number - 1

    def update(self, change: Callable[[Catalogue], Catalogue]) -> Catalogue:
        """Make `change(current)` durable and current. Raises OSError when the disk refuses, or when the directory or
        the file are no longer those of this database."""
        with self.lock:
            require_same(self._filesystem, self._directory, self._identity)
            if self._on_disk() not in self._written:
                raise OSError(
                    errno.ESTALE,
                    f"{self._directory / filename.CATALOGUE} was changed by somebody else while the database was "
                    "open: what stands there now is left as it is",
                )
            changed = change(self.current).model_copy(update={"next_number": self._next_number})
            data = encode_catalogue(changed)
            if len(data) > CATALOGUE_BYTES_MAX:
                raise OSError(errno.EFBIG, f"a catalogue of {len(data)} bytes exceeds {CATALOGUE_BYTES_MAX}")
            self._written.append(data)
            replace_file(self._filesystem, self._directory, filename.CATALOGUE, data)
            self._written = [data]
            self.current = changed
            return changed

    @property
    def is_settled(self) -> bool:
        """Whether it is known what the disk holds."""
        return len(self._written) == 1

    def _on_disk(self) -> bytes:
        """What the file holds; nothing when there is none."""
        try:
            return self._filesystem.read(self._directory / filename.CATALOGUE, limit=CATALOGUE_BYTES_MAX)
        except FileNotFoundError:
            return b""
