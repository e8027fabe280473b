"""kyrodb export and kyrodb import: documents into files, and files into a database."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from pykyro.backup.filename import is_backup_id
from pykyro.backup.target.locate import is_url, open_target
from pykyro.cli.backup import output
from pykyro.cli.command import integer, text_argument
from pykyro.cli.connection import SERVER_OPTIONS, add_connection_options, connected
from pykyro.cli.database_import import ORIGINS
from pykyro.cli.text_options import OPTIONS as TEXT_OPTIONS
from pykyro.cli.text_options import add_text_options, text_options
from pykyro.config.place import URL_FORMS, local_place
from pykyro.migration.directory_documents import Selection
from pykyro.migration.export import ROWS_PER_PART, ExportOptions, MakeCopy, export
from pykyro.migration.export_record import Format
from pykyro.migration.frozen_copy import copy_backup, copy_directory
from pykyro.migration.importing import ImportOptions, default_path, import_documents
from pykyro.migration.input_files import Input, find_input, path_words
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import DIMENSION_MAX, DOC_ID_MAX, EXPORT_PART_ROWS_MAX
from pykyro.model.text_ids import ID_TYPES
from pykyro.model.types import Metric
from pykyro.model.words import checked_words
from pykyro.storage import filename
from pykyro.storage.catalogue import directory_of
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

if TYPE_CHECKING:
    from pykyro.migration.destination import ImportDestination

    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_BAD_ROWS_SHOWN: Final = 100
_IMPORT_NEEDS: Final = (
    dict.fromkeys(SERVER_OPTIONS, "--url")
    | dict.fromkeys(("--dimension", "--id-type", *TEXT_OPTIONS), "--data-dir")
    | {"--distance": "--data-dir or --from"}
    | dict.fromkeys(("--into", "--id-column", "--vector-column"), "--from")
)


def add_command(commands: Commands) -> None:
    """Add `export` and `import`."""
    _add_export(commands)
    _add_import(commands)


def _add_export(commands: Commands) -> None:
    text = "write the documents of a database, running or not, or of a backup into files"
    parser = commands.add_parser("export", help=text, description=text, allow_abbrev=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data-dir", type=Path, metavar="DIR", help="directory of the database")
    source.add_argument(
        "--backup-dir", type=local_place, metavar="DIR", help=f"directory of backups, or {URL_FORMS}"
    )
    parser.add_argument(
        "--backup-id", metavar="ID", help="with --backup-dir: the backup to export (default: the newest)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="directory to write; new or empty"
    )
    parser.add_argument(
        "--format", choices=get_args(Format), required=True, help="parquet needs the parquet extra"
    )
    parser.add_argument(
        "--collection", metavar="NAME", help="with --data-dir: the collection to export (default: default)"
    )
    parser.add_argument("--tenant", metavar="ID", help="only this tenant's documents, with its own ids")
    parser.add_argument(
        "--namespace", type=text_argument, default="", metavar="NAME", help="only this namespace's documents"
    )
    parser.add_argument(
        "--rows-per-part",
        type=integer(1, EXPORT_PART_ROWS_MAX),
        default=ROWS_PER_PART,
        metavar="N",
        help="documents per file (default: %(default)s)",
    )
    parser.epilog = "To continue an interrupted export, run the same command again."
    parser.set_defaults(run=_export, needs={"--backup-id": "--backup-dir", "--collection": "--data-dir"})


def _add_import(commands: Commands) -> None:
    text = "store the documents of files in a database"
    parser = commands.add_parser("import", help=text, description=text, allow_abbrev=False)
    parser.add_argument(
        "--in",
        dest="source",
        type=_path_or_url,
        required=True,
        metavar="PATH",
        help="an export, a file or directory of rows, or what --from says",
    )
    parser.add_argument(
        "--from",
        dest="origin",
        choices=["chroma", *ORIGINS],
        help="--in is a directory of Chroma, a directory or URL of Qdrant, a URL of PostgreSQL, a directory of "
        "LanceDB, a file or URL of Milvus, or Parquet files of any columns; --collection is the table there",
    )
    _add_columns(parser)
    parser.add_argument(
        "--format", choices=get_args(Format), help="format of the files, when their names do not show it"
    )
    parser.add_argument(
        "--first-id",
        type=integer(1, DOC_ID_MAX),
        default=1,
        metavar="N",
        help="id of the first row of vectors without ids (default: %(default)s)",
    )
    _add_destination(parser)
    parser.add_argument(
        "--collection",
        metavar="NAME",
        help="the collection to store into, which exists (default: default)",
    )
    parser.add_argument(
        "--tenant", metavar="ID", help="only this tenant's rows; a row without a tenant counts as one of them"
    )
    parser.add_argument(
        "--namespace",
        type=text_argument,
        metavar="NAME",
        help="store all rows in this namespace instead of their own",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out rows that cannot be stored, and list them"
    )
    parser.add_argument(
        "--progress",
        type=Path,
        metavar="FILE",
        help="file that records the progress (default: beside the input)",
    )
    parser.epilog = "To continue an interrupted import, run the same command again."
    parser.set_defaults(run=_import, needs=_IMPORT_NEEDS)


def _path_or_url(given: str) -> Path | str:
    return given if "://" in given else Path(given)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--into", metavar="NAME", help="with --from: the collection here (default: the name it has there)"
    )
    parser.add_argument(
        "--id-column", metavar="NAME", help="with --from: the column of ids (default: the primary key, or id)"
    )
    parser.add_argument(
        "--vector-column",
        metavar="NAME",
        help="with --from: the column or name of vectors (default: the only one)",
    )


def _add_destination(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--url", metavar="HOST:PORT", help="the server to store into")
    place.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="the directory to store into; no server may have it open"
    )
    new = parser.add_argument_group("for a new --data-dir, unless the input is an export")
    new.add_argument("--dimension", type=integer(1, DIMENSION_MAX), metavar="N")
    new.add_argument("--distance", choices=[metric.value for metric in Metric])
    new.add_argument("--id-type", choices=ID_TYPES, help="of the ids of documents (default: integer)")
    add_text_options(new)
    server = parser.add_argument_group("for --url")
    add_connection_options(server)


# --- export ---------------------------------------------------------------------------------------


def _export(options: argparse.Namespace) -> None:
    began_s = time.monotonic()
    source, make_copy = _source(options)
    with output.progress("Exporting", counts="documents") as progress:
        record = export(
            options.out.absolute(),
            make_copy,
            ExportOptions(
                source=source,
                format=options.format,
                selection=Selection(options.tenant, options.namespace),
                rows_per_part=options.rows_per_part,
                progress=progress.reach,
            ),
        )
    print(f"Exported {record.documents} documents as of position {record.position} to {options.out}")
    print(_speed(record.documents, began_s))


def _source(options: argparse.Namespace) -> tuple[str, MakeCopy]:
    """A text that identifies the source, and the function that makes a frozen copy of it."""
    if options.data_dir is not None:
        data_dir = options.data_dir.resolve()
        if options.out.resolve().is_relative_to(data_dir):
            raise InvalidArgument(f"--out {options.out} lies inside --data-dir {data_dir}", field="out")
        of_collection = directory_of(LocalFileSystem(), data_dir, options.collection or "")
        return path_words(of_collection), lambda filesystem, place: copy_directory(
            filesystem, of_collection, place
        )
    where = options.backup_dir if is_url(options.backup_dir) else str(Path(options.backup_dir).resolve())
    backup_id = options.backup_id
    if backup_id is not None and not is_backup_id(backup_id):
        raise InvalidArgument(
            f"{backup_id!r} is not a backup id; an example is 20250601T120000Z", field="backup_id"
        )
    target = open_target(where)
    return (
        f"{path_words(where)} {backup_id or 'newest'}",
        lambda filesystem, place: copy_backup(filesystem, target, backup_id, place, SystemClock()),
    )


# --- import ---------------------------------------------------------------------------------------


def _import(options: argparse.Namespace) -> None:
    if options.origin is not None:
        left_out = _BadRows()
        _bring_over(options, left_out)
        left_out.tell_rest()
        return
    source = find_input(_path(options).absolute(), options.format, options.first_id)
    total = source.record.documents if source.record is not None else 0
    began_s = time.monotonic()
    bad = _BadRows()
    with _destination(options, source) as destination:
        if source.record is not None and source.record.distance is not destination.schema.metric:
            output.warn(
                f"the documents come from a database of distance {source.record.distance.value}; the target "
                f"database has distance {destination.schema.metric.value}"
            )
        with output.progress("Importing", total, counts="documents") as progress:
            found = import_documents(
                source,
                destination,
                ImportOptions(
                    progress=options.progress or default_path(options.source),
                    tenant=options.tenant,
                    namespace=options.namespace,
                    skip_bad=options.skip_bad,
                    on_bad=bad.tell,
                    on_stored=lambda documents: progress.reach(documents, total),
                ),
            )
    bad.tell_rest()
    print(f"Imported {found.stored} documents into {destination.name}, {found.skipped} rows left out")
    print(_speed(found.stored, began_s))


def _path(options: argparse.Namespace) -> Path:
    if not isinstance(options.source, Path):
        raise InvalidArgument(
            f"--in {options.source!r:.200} is a URL, which --from alone can read", field="in"
        )
    return options.source


def _bring_over(options: argparse.Namespace, left_out: _BadRows) -> None:
    """Import from another database."""
    if options.origin in ORIGINS:
        from pykyro.cli.database_import import import_table

        import_table(options, left_out.tell)
    else:
        from pykyro.cli.chroma_import import import_chroma

        _path(options)
        import_chroma(options, left_out.tell)


@contextmanager
def _destination(options: argparse.Namespace, source: Input) -> Iterator[ImportDestination]:
    from pykyro.migration.destination import (
        DirectoryDestination,
        ServerDestination,
        open_collection,
        open_directory,
    )

    if options.data_dir is not None:
        record, directory = source.record, options.data_dir.absolute()
        dimension = options.dimension or (record.dimension if record is not None else None)
        # What an export says is for a new database; an old one may well have another distance.
        distance = options.distance
        if distance is None and record is not None and not (directory / filename.MANIFEST).exists():
            distance = record.distance.value
        id_type = options.id_type
        if id_type is None and record is not None and not (directory / filename.MANIFEST).exists():
            id_type = record.id_type
        words = checked_words(text_options(options))
        if words is None and record is not None and not (directory / filename.MANIFEST).exists():
            words = None if record.words is None else record.words.config
        if options.collection:
            with open_collection(directory, options.collection) as engine:
                yield DirectoryDestination(engine, engine.directory)
            return
        engine = open_directory(directory, dimension, distance, id_type, words)
        try:
            yield DirectoryDestination(engine, directory)
        finally:
            engine.close()
        return
    with connected(options) as client:
        yield ServerDestination(client, options.url, options.tenant, options.collection)


class _BadRows:
    """Rows that were left out: the first are named, the others counted."""

    def __init__(self) -> None:
        self._count = 0

    def tell(self, text: str) -> None:
        self._count += 1
        if self._count <= _BAD_ROWS_SHOWN:
            output.warn(text)

    def tell_rest(self) -> None:
        if self._count > _BAD_ROWS_SHOWN:
            output.warn(f"{self._count - _BAD_ROWS_SHOWN} more rows were left out")


def _speed(documents: int, began_s: float) -> str:
    seconds = max(time.monotonic() - began_s, 1e-9)
    return f"{seconds:.2f} s, {documents / seconds:.0f} documents a second"
