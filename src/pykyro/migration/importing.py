"""Reading rows, storing them in groups, and remembering how far that went.

A group is acknowledged by the database before the progress says so. Documents that were stored but not yet recorded
when an import died are stored again by the next one, which changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pykyro.migration.directory_documents import PortableDocument
from pykyro.migration.input_files import Input
from pykyro.migration.rows import BadRow, Row, RowReader, checked_row
from pykyro.model.arguments import groups
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.model.limits import COUNT_MAX, IMPORT_GROUP_BYTES_MAX, IMPORT_GROUP_ROWS_MAX
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.files.replace_file import replace_file

if TYPE_CHECKING:
    # A client and an engine come with it, which an export needs neither of.
    from pykyro.migration.destination import ImportDestination

_WRITE_DOWN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`tenant`: only this one's rows, and those without a tenant as its own. `namespace`: store all rows in this
    namespace instead of their own. `skip_bad`: rows that cannot be stored are passed to `on_bad` and left out.

    `on_stored` is called with how many documents are stored, earlier tries of this import counted.
    """

    progress: Path
    tenant: str | None = None
    namespace: str | None = None
    skip_bad: bool = False
    on_bad: Callable[[str], None] = lambda text: None
    on_stored: Callable[[int], None] = lambda documents: None


def import_documents(source: Input, destination: ImportDestination, options: ImportOptions) -> ImportProgress:
    """Store every row of `source`; the progress at its end, whose file is removed then.

    Raises InvalidArgument naming file, row, field and bound of the first row that cannot be stored, unless bad rows
    are skipped; what the destination raises; FailedPrecondition, DataDamaged, OSError.
    """
    fresh = ImportProgress(
        input=source.identity,
        destination=destination.name,
        tenant=options.tenant,
        namespace=options.namespace,
    )
    run = _Run(destination, options, read_progress(options.progress, fresh))
    try:
        for number, reader in enumerate(source.readers):
            if number >= run.progress.file:
                source.prove[number]()
                run.read(number, reader)
    finally:
        run.write_down()
    options.progress.unlink(missing_ok=True)
    return run.progress


class _Run:
    def __init__(
        self, destination: ImportDestination, options: ImportOptions, progress: ImportProgress
    ) -> None:
        self._destination = destination
        self._options = options
        self.progress = self._written = progress
        self._written_s = time.monotonic()

    def read(self, number: int, reader: RowReader) -> None:
        start = self.progress.rows if number == self.progress.file else 0
        rows = reader.rows(start)
        for group in groups(
            rows, count_max=IMPORT_GROUP_ROWS_MAX, bytes_max=IMPORT_GROUP_BYTES_MAX, bytes_of=_size_bytes
        ):
            self._store(number, reader, group)
        self.progress = self.progress.model_copy(update={"file": number + 1, "rows": 0})

    def write_down(self) -> None:
        if self.progress != self._written:
            write_progress(LocalFileSystem(), self._options.progress.absolute(), self.progress)
            self._written, self._written_s = self.progress, time.monotonic()

    def _store(self, number: int, reader: RowReader, group: list[Row | BadRow]) -> None:
        documents: list[tuple[int, PortableDocument]] = []
        bad: list[BadRow] = []
        for row in group:
            found = self._checked(row)
            if isinstance(found, BadRow):
                bad.append(found)
                if not self._options.skip_bad:
                    break
            elif found is not None:
                documents.append((row.number, found))
        refused = self._destination.store([document for _, document in documents]) if documents else []
        bad += [BadRow(documents[at][0], reason) for at, reason in refused]
        bad.sort(key=lambda row: row.number)
        if bad and not self._options.skip_bad:
            # The rows before it are stored, so that the next try begins with this row.
            before = bad[0].number - 1
            self._advance(number, before, sum(row_number <= before for row_number, _ in documents), 0)
            raise InvalidArgument(f"{reader.path} row {bad[0].number}: {bad[0].reason}")
        for row in bad:
            self._options.on_bad(f"{reader.path} row {row.number}: {row.reason}")
        self._advance(number, group[-1].number, len(documents) - len(refused), len(bad))

    def _advance(self, number: int, rows: int, stored: int, skipped: int) -> None:
        self.progress = self.progress.model_copy(
            update={
                "file": number,
                "rows": rows,
                "stored": self.progress.stored + stored,
                "skipped": self.progress.skipped + skipped,
            }
        )
        if time.monotonic() - self._written_s >= _WRITE_DOWN_S:
            self.write_down()
        self._options.on_stored(self.progress.stored)

    def _checked(self, row: Row | BadRow) -> PortableDocument | BadRow | None:
        if isinstance(row, BadRow):
            return row
        found = checked_row(row, self._destination.schema, self._options.tenant)
        if isinstance(found, PortableDocument) and self._options.namespace is not None:
            return replace(found, namespace=self._options.namespace)
        return found


def _size_bytes(row: Row | BadRow) -> int:
    """Approximate memory of a row that waits for its group."""
    if isinstance(row, BadRow):
        return len(row.reason)
    texts = _length(row.metadata) + _length(row.namespace) + _length(row.tenant)
    return int(getattr(row.vector, "nbytes", 1000)) + texts + 200


def _length(value: object) -> int:
    """Approximate bytes of what metadata is made of."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_length(key) + _length(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(_length, value))
    return 8


SUFFIX: Final = ".import-progress.json"
_BYTES_MAX: Final = 1 << 20
_Count = Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)]


class ImportProgress(BaseModel):
    """Everything before row `rows` + 1 of file number `file`, from 0, is stored. `input`, `destination`, `tenant` and
    `namespace` identify the import: it counts for nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    input: str
    destination: str
    tenant: str | None
    namespace: str | None
    file: _Count = 0
    rows: _Count = 0
    stored: _Count = 0
    skipped: _Count = 0


def default_path(source: Path) -> Path:
    """Beside the input."""
    resolved = source.absolute()
    return resolved.with_name(resolved.name + SUFFIX)


def read_progress(path: Path, fresh: ImportProgress) -> ImportProgress:
    """The content of the file, `fresh` when there is none.

    Raises FailedPrecondition when it is of another import, or cannot be read; OSError.
    """
    try:
        with path.open("rb") as file:
            found = ImportProgress.model_validate_json(file.read(_BYTES_MAX))
    except FileNotFoundError:
        return fresh
    except ValidationError as error:
        raise FailedPrecondition(
            f"{path} is not a progress file of an import ({error.errors()[0]['msg']}): remove it to start again, "
            f"or name another with --progress"
        ) from None
    for name in ("input", "destination", "tenant", "namespace"):
        if getattr(found, name) != getattr(fresh, name):
            what = "the files have changed since" if name == "input" else f"it was for a different {name}"
            raise FailedPrecondition(
                f"{path} is the progress of another import, {what}: remove it to start again, or name another "
                f"with --progress"
            )
    return found


def write_progress(filesystem: FileSystem, path: Path, progress: ImportProgress) -> None:
    """Durable when this returns. Raises OSError."""
    replace_file(filesystem, path.parent, path.name, progress.model_dump_json(indent=1).encode() + b"\n")
