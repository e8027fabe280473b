"""The collections of a data directory: are they there, and is every file as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pykyro.cli.diagnosis.finding import Finding, note, ok, wrong
from pykyro.model.errors import StorageError
from pykyro.storage import filename
from pykyro.storage.catalogue import collection_directory, read_catalogue
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.verify import size_faults, verify_directory

TOPIC: Final = "collections"
_RESTORE: Final = (
    "restore it from a backup (kyrodb_backup restore --collection), or drop it (kyrodb collections drop)"
)


def check_collections(directory: Path, *, deep: bool) -> Iterator[Finding]:
    """Nothing is said of a database that has none beside `default`; `deep` reads every byte."""
    filesystem = LocalFileSystem()
    try:
        catalogue = read_catalogue(filesystem, directory)
    except (StorageError, OSError) as error:
        yield wrong(TOPIC, str(error), "restore a backup (kyrodb_backup restore)")
        return
    sound = 0
    for name, entry in sorted(catalogue.collections.items()):
        place = collection_directory(directory, entry.number)
        faults = _faults(place, deep=deep)
        yield from (wrong(TOPIC, f"collection {name}: {fault}", _RESTORE) for fault in faults)
        sound += not faults
    if sound:
        what = "every byte is as it was written" if deep else "files have the expected sizes"
        yield ok(TOPIC, f"{sound} collections, {what}")
    above = directory / filename.COLLECTIONS
    known = {str(entry.number) for entry in catalogue.collections.values()}
    strays = [name for name in filesystem.names(above) if name not in known] if above.is_dir() else []
    if strays:
        shown = ", ".join(strays[:3])
        yield note(
            TOPIC,
            f"{len(strays)} directories in {above} belong to no collection ({shown})",
            "a collection was being created or dropped; the next start removes what a crash left",
        )


def _faults(place: Path, *, deep: bool) -> list[str]:
    filesystem = LocalFileSystem()
    try:
        read_manifest(filesystem, place)
        return list(verify_directory(filesystem, place).damage if deep else size_faults(place)[1])
    except FileNotFoundError:
        return [f"{place / filename.MANIFEST} is missing"]
    except (StorageError, OSError) as error:
        return [str(error)]
