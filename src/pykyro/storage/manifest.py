"""MANIFEST: which files are the database, and up to which position they hold it.

    file  = "KYRODB-MANIFEST " format " " digest-of-the-rest LF  JSON

The format is 1 until there are tenants, and 2 from then on. In a database of format 2 the log and the segments keep
the owner of a document beside its id (records.py, row_keys.py), which programs that know format 1 alone would take
for damage, or worse: so they are told. The format becomes 3, tenants or not, before the first MERGE record is written
to the log, or the first metadata value that is not text, and stays 3: programs that know formats 1 and 2 can read
neither. It becomes 4, and stays 4, before the first document that goes at an instant is written, which programs that
know formats 1 to 3 would go on showing, and before the first acknowledged idempotency key is written to the log. It
is 4 from the start where the ids of documents are text: earlier programs would take the keys of text ids for ids, and
cannot read the metadata such ids stand in. It is 5 from the start where words are kept: earlier programs would seal
and merge segments without them. It is 6 where the rows of sealed documents are elsewhere (`remote`): earlier programs
would find no documents there. What was written in formats 1 to 5 stays readable.

It is replaced as a whole: temporary file, fsync, rename, fsync of the directory. A file that no MANIFEST names
does not belong to the database; what an old MANIFEST named is deleted only after the new one is durable.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from pykyro.model.cold_tier import SERVICE_NAME_PATTERN
from pykyro.model.errors import DataDamaged, DataDirMismatch, FailedPrecondition, ResourceExhausted
from pykyro.model.limits import MANIFEST_BYTES_MAX, TENANT_INDEX_MAX, TENANT_INDEX_MIN
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig
from pykyro.storage import filename
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file
from pykyro.storage.segment.section_file import FileFacts

FORMAT_WITHOUT_TENANTS: Final = 1
FORMAT_WITH_TENANTS: Final = 2
FORMAT_WITH_VALUES: Final = 3
FORMAT_WITH_EXPIRY: Final = 4
FORMAT_WITH_WORDS: Final = 5
FORMAT: Final = 6
_MAGIC: Final = b"KYRODB-MANIFEST "
_FORMATS: Final = tuple(str(known).encode() for known in range(FORMAT_WITHOUT_TENANTS, FORMAT + 1))
_HINT: Final = "Restore from a backup"

_DataFileName = Annotated[str, StringConstraints(pattern=rf"^{filename.ENTRY_PATTERN}$")]
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_Count = Annotated[int, Field(ge=0, strict=True)]
_ServiceName = Annotated[str, StringConstraints(pattern=SERVICE_NAME_PATTERN)]
_TableName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
_TenantIndex = Annotated[int, Field(ge=0, le=TENANT_INDEX_MAX, strict=True)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Entry):
    """A file, its length, and the digest that proves it (see section_file.FileFacts)."""

    name: _DataFileName
    size_bytes: _Count
    digest: _Digest

    @property
    def facts(self) -> FileFacts:
        return FileFacts(self.size_bytes, self.digest)


class WalEntry(_Entry):
    """A WAL segment. A closed one states where it ends; only the last may be open (both None)."""

    name: _DataFileName
    base_lsn: _Count
    last_lsn: _Count | None = None
    end_offset: _Count | None = None


class SegmentEntry(_Entry):
    """A cold segment: its files, and its rows deleted at or before the sealed position.

    A graph without a `shape` was written by an earlier version.
    """

    number: _Count
    row_count: _Count
    rows: FileEntry
    graph: FileEntry | None
    shape: FileEntry | None = None
    dead: FileEntry | None
    dead_count: _Count

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a shape, as earlier versions wrote it and read it."""
        fields: dict[str, Any] = serialise(self)
        if self.shape is None:
            del fields["shape"]
        return fields

    @property
    def files(self) -> list[FileEntry]:
        return [file for file in (self.rows, self.graph, self.shape, self.dead) if file is not None]


class Branch(_Entry):
    """Where a history leaves the one before it: what that one holds behind this position belongs to it alone."""

    history: str
    lsn: _Count


class RemoteEntry(_Entry):
    """Where the rows of sealed documents are that are not in segments here: in the table `table` of the PostgreSQL
    service `service`. The server itself is never named here, so that no password is.

    There are `documents` of them, and their rows have numbers below `rows_end`. `maps` say which row each is in
    (storage/id_map.py), the oldest first. `writers` are the names under which this directory may have claimed the
    table; who else claimed it meanwhile has one of its own. `norm_min` and `norm_max` bound the lengths of vectors.
    `restored` says that the directory came out of a backup or a snapshot and has not claimed the table since: whoever
    claimed it before, it is that of this directory if history and position fit.
    """

    service: _ServiceName
    table: _TableName
    documents: _Count = 0
    rows_end: _Count = 0
    maps: tuple[FileEntry, ...] = ()
    writers: tuple[_TableName, ...] = ()
    norm_min: float | None = None
    norm_max: float | None = None
    restored: bool = False

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not so is not said."""
        fields: dict[str, Any] = serialise(self)
        if not self.restored:
            del fields["restored"]
        return fields


class WordsEntry(_Entry):
    """How the words of documents are found (model/words.py), as it was said when the directory was created."""

    keys: tuple[str, ...]
    language: str
    k1: float
    b: float
    stop_words: bool
    analyser: _Count

    @property
    def config(self) -> WordsConfig:
        return WordsConfig(self.keys, self.language, self.k1, self.b, self.stop_words, self.analyser)

    @classmethod
    def of(cls, config: WordsConfig | None) -> WordsEntry | None:
        return None if config is None else cls(**asdict(config))


class Manifest(_Entry):
    """One state of the database on disk.

    `sealed_lsn` is the position up to which the segments hold everything; the log holds what came after.
    `history` names the line of positions: it changes when positions are given out a second time, after a restore or
    recovery from segments alone, and `branched_from` says which line was left and where. `next_number` is the next
    file number. `tenants` are the numbers by which documents name their tenants; a tenant is never taken out, so that
    no number is given out twice. `has_merges` says that the log may hold MERGE records, `has_types` that values may
    be other than text, `has_expiry` that documents may go at an instant, `has_keys` that the log may hold
    acknowledged idempotency keys; those of its sealed part stand in the file `keys`. Where ids are text, `text_ids`
    are the random bytes, in hexadecimal, that key their hash (engine/text_ids.py). `words` says how words are found,
    where they are kept. `remote` is None where all rows are in segments.
    """

    dimension: Annotated[int, Field(ge=1, strict=True)]
    metric: Metric
    history: str
    branched_from: Branch | None = None
    next_number: _Count
    sealed_lsn: _Count
    segments: tuple[SegmentEntry, ...] = ()
    wal: tuple[WalEntry, ...] = ()
    tenants: dict[str, _TenantIndex] = {}
    has_merges: bool = False
    has_types: bool = False
    has_expiry: bool = False
    text_ids: _Digest | None = None
    words: WordsEntry | None = None
    has_keys: bool = False
    keys: FileEntry | None = None
    remote: RemoteEntry | None = None
    updated_us: _Count = 0

    @model_validator(mode="after")
    def _tenants_differ(self) -> Manifest:
        if len(set(self.tenants.values())) < len(self.tenants):
            raise ValueError("two tenants have the same number")
        return self

    def as_restored(self) -> Manifest:
        """The same state in a directory that is a copy: see RemoteEntry."""
        if self.remote is None:
            return self
        return self.model_copy(update={"remote": self.remote.model_copy(update={"restored": True})})

    @property
    def format(self) -> int:
        """Of the directory, see above."""
        if self.remote is not None:
            return FORMAT
        if self.words is not None:
            return FORMAT_WITH_WORDS
        if self.has_expiry or self.has_keys or self.text_ids is not None:
            return FORMAT_WITH_EXPIRY
        if self.has_merges or self.has_types:
            return FORMAT_WITH_VALUES
        return FORMAT_WITH_TENANTS if self.tenants else FORMAT_WITHOUT_TENANTS

    @property
    def words_config(self) -> WordsConfig | None:
        """How words are found; None where none are kept."""
        return None if self.words is None else self.words.config

    @property
    def file_names(self) -> set[str]:
        """Every file that belongs to this state."""
        return {entry.name for entry in self.wal}.union(file.name for file in self.files)

    @property
    def files(self) -> list[FileEntry]:
        """Every file beside the log, each a segment's, that of idempotency keys, or a map of ids."""
        files = [file for segment in self.segments for file in segment.files]
        if self.remote is not None:
            files += self.remote.maps
        return files if self.keys is None else [*files, self.keys]

    @property
    def segment_bytes(self) -> int:
        """What all segments take on disk."""
        return sum(file.size_bytes for segment in self.segments for file in segment.files)

    def with_wal(self, entry: WalEntry) -> Manifest:
        """The same state with one WAL entry replaced (by name) or appended."""
        kept = tuple(entry if known.name == entry.name else known for known in self.wal)
        if entry not in kept:
            kept += (entry,)
        return self.model_copy(update={"wal": kept})

    def without_wal(self, name: str) -> Manifest:
        """The same state without this WAL segment, which holds nothing."""
        return self.model_copy(update={"wal": tuple(entry for entry in self.wal if entry.name != name)})

    def announcing(
        self, *, merges: bool = False, types: bool = False, expiry: bool = False, keys: bool = False
    ) -> Manifest:
        """The same state, whose log may hold MERGE records, values that are not text, documents that go at an
        instant, or idempotency keys, from now on."""
        return self.model_copy(
            update={
                "has_merges": self.has_merges or merges,
                "has_types": self.has_types or types,
                "has_expiry": self.has_expiry or expiry,
                "has_keys": self.has_keys or keys,
            }
        )

    def with_tenants(self, tenant_ids: Iterable[str]) -> Manifest:
        """The same state with a number for each of these tenants; a known tenant keeps its own.

        Raises ResourceExhausted when there is no number left.
        """
        tenants = dict(self.tenants)
        index = max(tenants.values(), default=TENANT_INDEX_MIN - 1)
        for tenant_id in tenant_ids:
            if tenant_id not in tenants:
                index = max(index + 1, TENANT_INDEX_MIN)
                tenants[tenant_id] = index
        if index > TENANT_INDEX_MAX:
            raise ResourceExhausted(f"tenant numbers end at {TENANT_INDEX_MAX}, and all are given out")
        return self.model_copy(update={"tenants": tenants})


def require_local(manifest: Manifest, directory: Path, doing: str) -> None:
    """Refuse what copies the files of a directory when its sealed documents are not in them. Raises
    FailedPrecondition."""
    if manifest.remote is not None:
        raise FailedPrecondition(
            f"{doing} of {directory} is not possible: its sealed documents are in the table "
            f"kyrodb.rows_{manifest.remote.table} of the PostgreSQL service {manifest.remote.service!r}, and not in "
            "its files. Read them through the running database (scroll), or from the view "
            f"kyrodb.documents_{manifest.remote.table}"
        )


def encode_manifest(manifest: Manifest) -> bytes:
    # What is not so is not said, so that earlier versions can read what they could always read.
    left_out = {"branched_from"} if manifest.branched_from is None else set()
    flags = ("has_merges", "has_types", "has_expiry", "text_ids", "words", "has_keys", "keys", "remote")
    left_out |= {name for name in flags if not getattr(manifest, name)}
    body = manifest.model_dump_json(indent=2, exclude=left_out).encode() + b"\n"
    return _MAGIC + f"{manifest.format} {digest(body)}\n".encode() + body


def decode_manifest(data: bytes, path: Path) -> Manifest:
    """Raises DataDamaged for anything that was not written whole, DataDirMismatch for another format."""
    head, separator, body = data.partition(b"\n")
    words = head.split(b" ")
    if not data.startswith(_MAGIC) or not separator or len(words) != 3:
        raise DataDamaged("not a KyroDB manifest", path=path, offset=0, hint=_HINT)
    if digest(body).encode() != words[2]:
        raise DataDamaged("manifest does not match its digest", path=path, offset=0, hint=_HINT)
    if words[1] not in _FORMATS:
        raise DataDirMismatch(
            f"manifest format {words[1].decode('ascii', 'replace')}, this program reads "
            f"{FORMAT_WITHOUT_TENANTS} to {FORMAT}",
            path=path,
            hint="Open it with the version of KyroDB that wrote it",
        )
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        raise DataDamaged(f"manifest content: {error.errors()[0]['msg']}", path=path, hint=_HINT) from None
    if max(manifest.format, int(words[1])) >= FORMAT_WITH_VALUES and manifest.format != int(words[1]):
        raise DataDamaged("manifest is of another format than its content", path=path, offset=0, hint=_HINT)
    return manifest


def read_manifest(filesystem: FileSystem, directory: Path) -> Manifest:
    """The MANIFEST of a data directory. FileNotFoundError when there is none."""
    path = directory / filename.MANIFEST
    return decode_manifest(filesystem.read(path, limit=MANIFEST_BYTES_MAX), path)


def write_manifest(filesystem: FileSystem, directory: Path, manifest: Manifest) -> None:
    """Replace the MANIFEST; when this returns the new one is durable. Raises OSError; then either may be there."""
    data = encode_manifest(manifest)
    if len(data) > MANIFEST_BYTES_MAX:
        raise OSError(errno.EFBIG, f"MANIFEST of {len(data)} bytes exceeds {MANIFEST_BYTES_MAX}")
    replace_file(filesystem, directory, filename.MANIFEST, data)
